"""A Gaussian posterior over the weights of a linear head, and what it says of the gradients at the features.

Each head's weights, the bias last, are one vector for each *block*: of a regression or of events a block for each of o
outputs, (o, d + 1); of classes one for all, (1, o (d + 1)). A Gaussian over them is a precision P (k, D, D) and a
linear term P μ (k, D), k blocks of D weights; what a batch tells adds up in both.
"""

from __future__ import annotations

import torch
from attrs import frozen
from torch import Tensor
from torch.nn import functional

from moframework.objectives.features import Head

__all__ = ["Gaussian", "Moments", "evidence", "gradient_moments"]

# Numbers that sampled gradients take at once.
_AT_ONCE = 2**24


@frozen
class Gaussian:
    """Precision P (k, D, D) and P μ (k, D); of what a batch tells, P may be singular."""

    precision: Tensor
    linear: Tensor

    def __add__(self, other: Gaussian) -> Gaussian:
        """What both tell together."""
        return Gaussian(self.precision + other.precision, self.linear + other.linear)

    def factor(self) -> Tensor:
        """Cholesky factor of P (k, D, D), lower; nan where P is not positive definite."""
        factor, failed = torch.linalg.cholesky_ex(self.precision)
        return torch.where((failed == 0)[:, None, None], factor, torch.nan)


@frozen
class Moments:
    """Mean and variance of the gradient of each sample's loss with respect to the features, of each of o items: outputs
    of a regression or events, or one for all classes. Both (b, o, d); and which items count, (b, o)."""

    mean: Tensor
    variance: Tensor
    known: Tensor


def evidence(head: Head, features: Tensor) -> Gaussian:
    """What a batch tells of a head's weights: of squared errors the exact likelihood for noise of variance 1, of the
    others its second-order expansion at the weights that the head has (Gauss-Newton), in the numbers of `features`.

    Args:
        features: (b, d).
    """
    extended = _extended(features)
    weights = _weights(head).to(features)
    logits = extended @ weights.T
    if head.likelihood == "categorical":
        return _of_classes(head, extended, weights, logits)
    known, target = (value.reshape(logits.shape) for value in (head.known, head.target))
    target = torch.where(known, target, 0.0).to(logits)
    if head.likelihood == "gaussian":
        curvature, pull = torch.ones_like(logits), target
    else:
        probability = logits.sigmoid()
        curvature = probability * (1 - probability)
        pull = curvature * logits - (probability - target)
    curvature, pull = curvature * known, pull * known
    return Gaussian(torch.einsum("bi,bo,bj->oij", extended, curvature, extended), pull.T @ extended)


def _of_classes(head: Head, extended: Tensor, weights: Tensor, logits: Tensor) -> Gaussian:
    probabilities, size = logits.softmax(dim=1), weights.numel()
    curvature = torch.diag_embed(probabilities) - probabilities.unsqueeze(2) * probabilities.unsqueeze(1)
    curvature = curvature * head.known[:, None, None]
    precision = torch.einsum("bi,bck,bj->cikj", extended, curvature, extended).reshape(size, size)
    slope = (probabilities - _one_hot(head, logits)) * head.known.unsqueeze(1)
    linear = precision @ weights.flatten() - (slope.T @ extended).flatten()
    return Gaussian(precision.unsqueeze(0), linear.unsqueeze(0))


def gradient_moments(head: Head, features: Tensor, posterior: Gaussian, samples: int) -> Moments:
    """Moments of the gradients of a head's loss at the features (b, d), its weights drawn from a posterior: in closed
    form of squared errors, else from so many `samples`."""
    factor = posterior.factor()
    mean = torch.cholesky_solve(posterior.linear.unsqueeze(2), factor).squeeze(2).to(features)
    if head.likelihood == "gaussian":
        return _of_squares(head, features, mean, torch.cholesky_inverse(factor).to(features))
    return _sampled(head, features, mean, factor, samples)


def _of_squares(head: Head, features: Tensor, mean: Tensor, covariance: Tensor) -> Moments:
    """Of 2 (wᵀh − y) w, a product of two Gaussians: E[s²u²] = E[s²] E[u²] + 4 E[s] E[u] Cov + 2 Cov²."""
    extended, width = _extended(features), features.shape[1]
    known = head.known.reshape(-1, len(mean))
    target = torch.where(known, head.target.reshape(known.shape), 0.0).to(features)
    rest = extended @ mean.T - target  # (b, o)
    shared = torch.einsum("bi,oij->boj", extended, covariance)  # Cov of wᵀh and w
    spread = torch.einsum("boj,bj->bo", shared, extended).unsqueeze(2)
    shared, weight, rest = shared[..., :width], mean[:, :width], rest.unsqueeze(2)
    own = covariance.diagonal(dim1=1, dim2=2)[:, :width]
    first = rest * weight + shared
    second = (rest.square() + spread) * (weight.square() + own) + 4 * rest * weight * shared + 2 * shared.square()
    return Moments(2 * first, 4 * (second - first.square()), known)


def _sampled(head: Head, features: Tensor, mean: Tensor, factor: Tensor, samples: int) -> Moments:
    """Of Wᵀ (p(W) − y), the weights W drawn."""
    b, d = features.shape
    o = len(head.weight)
    classes = head.likelihood == "categorical"
    known = head.known.reshape(b, 1 if classes else o)
    target = _one_hot(head, features) if classes else torch.where(known, head.target.reshape(b, o), 0.0).to(features)
    first = features.new_zeros(b, known.shape[1], d)
    second, done, extended = torch.zeros_like(first), 0, _extended(features)
    at_once = max(1, min(samples, _AT_ONCE // (b * max(o, d) + o * (d + 1))))
    while done < samples:
        count = min(at_once, samples - done)
        noise = torch.randn(len(mean), mean.shape[1], count, device=mean.device, dtype=mean.dtype)
        drawn = torch.linalg.solve_triangular(factor.mT.to(mean), noise, upper=True) + mean.unsqueeze(2)
        weights = drawn.permute(2, 0, 1).reshape(count, o, d + 1)
        logits = torch.einsum("bj,soj->sbo", extended, weights)
        slope = (logits.softmax(dim=2) if classes else logits.sigmoid()) - target
        sums = (_class_sums if classes else _event_sums)(slope, weights[..., :d])
        first, second, done = first + sums[0], second + sums[1], done + count
    first = first / samples
    return Moments(first, second / samples - first.square(), known)


def _event_sums(slope: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over draws of a w and of its square (b, o, d), of slopes a (s, b, o) and weights (s, o, d)."""
    return (
        torch.einsum("sbo,sod->bod", slope, weights),
        torch.einsum("sbo,sod->bod", slope.square(), weights.square()),
    )


def _class_sums(slope: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over draws of g = Σ_o a_o w_o and of its square (b, 1, d). Slopes of a sample add up to 0, so that one class
    is left out; two classes need no tensor of draws by samples by features."""
    slope, weights = slope[..., :-1], weights[:, :-1] - weights[:, -1:]
    if weights.shape[1] == 1:
        return _event_sums(slope, weights)
    found = slope @ weights
    return found.sum(dim=0).unsqueeze(1), found.square_().sum(dim=0).unsqueeze(1)


def _extended(features: Tensor) -> Tensor:
    """Features (b, d) and a 1 for the bias."""
    return functional.pad(features, (0, 1), value=1.0)


def _weights(head: Head) -> Tensor:
    """(o, d + 1), the bias last; a bias that there is none of is 0."""
    bias = head.weight.new_zeros(len(head.weight)) if head.bias is None else head.bias
    return torch.cat([head.weight, bias.unsqueeze(1)], dim=1)


def _one_hot(head: Head, like: Tensor) -> Tensor:
    """Classes (b,) as (b, o); those that are not known as class 0."""
    found = torch.where(head.known, head.target, 0).long()
    return functional.one_hot(found, len(head.weight)).to(like)
