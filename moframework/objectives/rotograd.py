"""RotoGrad: gradients of one size at the features, and features that each head reads rotated."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.objectives.adam import adam_direction
from moframework.objectives.features import FeatureAggregation, Features

__all__ = ["RotoGrad", "one_size", "rotation_slopes"]

# What keeps divisions by a norm of 0 finite, as released.
_LEAST = 1e-15


@config
class RotoGrad(FeatureAggregation):
    """RotoGrad (Javaloy, Valera, ICLR 2022, arXiv 2103.02631): each task's gradient at the features gets the length
    `C = Σ_t α_t ‖g_t‖`, α_t in proportion to ‖g_t‖ / ‖g_t⁰‖ and of sum 1, so that tasks which have converged less count
    more; and the head of task t reads R_t z with a rotation R_t that brings the gradients closer to one direction.

    R_t minimizes `Σ_i ‖R_t v_i − ĝ_ti‖²`, v the mean of the tasks' gradients at equal lengths and ĝ_ti the gradient of
    sample i at the rotated features. Adam moves it along the rotations (R exp(S), S skew-symmetric), at the rate
    `rate · decay^step`: as a leader it has to be slower than the network, and the source gives no number. First norms
    are those of the first step and again of step `burn_in`, as released.

    A rotation before a linear layer is another weight of that layer, W R_t, and that is where it is kept: after each
    step of the optimizer the weight is turned by how much R_t has moved. So the network has no parts more than before,
    and evaluation, saving and export know nothing of rotations. For plain gradient descent this is exactly RotoGrad;
    Adam and momentum then have their averages in a frame that turns slowly, and averages of weights mix such frames.

    A preference multiplies the gradients, m λ_t; equal ones give the method itself. A task that a batch has no label of
    is left out of it. The heads descend their own losses.

    Limits: heads must begin with a linear layer or a convolution, whose channels are then rotated at all positions
    alike; a solver that keeps whole networks (`single`, `multipoint`); and an exponential of a matrix (d, d) a task in
    each step, for d features.

    >>> objective, gradients = RotoGrad(), torch.tensor([[[3.0, 0.0]], [[0.0, 1.0]]])
    >>> features = Features(values=torch.zeros(1, 2), gradients=gradients, losses=torch.ones(2))
    >>> objective.combine(features, torch.tensor([0.5, 0.5]), objective.build(m=2, r=1))  # both of length 2
    tensor([[2., 2.]])
    """

    rotate: bool = option(True, help="false: lengths alone are made equal")
    rate: float = option(1e-4, gt=0, help="Adam's learning rate of the rotations; lower than that of the network")
    decay: float = option(0.99999, gt=0, le=1, help="factor of that rate from step to step")
    burn_in: int = option(20, ge=0, le=1_000_000, help="step whose norms replace those of the first one")

    @property
    def turns(self) -> bool:
        """Whether it rotates."""
        return self.rotate

    def build(self, m: int, r: int) -> nn.Module:
        """First norms, and Adam's moments, whose size the first step shows."""
        return _Rotations(m)

    def combine(self, features: Features, preference: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `FeatureAggregation.combine`; changes the state, but by what is not finite."""
        own, m = cast(_Rotations, state), len(preference)
        norms = _norms(features.gradients)
        moves = (norms > 0) & self.finite(features)
        first = moves & ((own.counts == 0) | (own.counts == self.burn_in))
        own.first_norms.copy_(torch.where(first, norms, own.first_norms))
        own.counts.add_(moves)
        weights = m * preference.to(norms) * one_size(norms, own.first_norms)
        return torch.einsum("m,mnd->nd", weights, features.gradients)

    def turn(self, features: Features, state: nn.Module | None) -> Tensor | None:
        """See `FeatureAggregation.turn`: exp(S), S Adam's step; the identity for tasks that are not there."""
        own = cast(_Rotations, state)
        moves = (_norms(features.gradients) > 0) & self.finite(features)
        slopes = torch.where(moves[:, None, None], rotation_slopes(features.gradients), 0.0)
        turned: Tensor = torch.linalg.matrix_exp(-own.step(slopes, moves, self.rate, self.decay))
        return turned


def one_size(norms: Tensor, first_norms: Tensor) -> Tensor:
    """Factors (m,) that give gradients the length Σ_t α_t ‖g_t‖; 0 for gradients of 0.

    Args:
        norms: of the gradients (m,).
        first_norms: those that convergence is measured from, (m,).

    >>> one_size(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 1.0]))  # α = (1/4, 3/4), C = 2.5
    tensor([2.5000, 0.8333])
    """
    ratios = norms / first_norms.clamp_min(_LEAST)
    length = (ratios * norms).sum() / ratios.sum().clamp_min(_LEAST)
    return torch.where(norms > 0, length / norms.clamp_min(_LEAST), 0.0)


def rotation_slopes(gradients: Tensor) -> Tensor:
    """Gradients (m, d, d) over S at 0 of `½ Σ_i ‖exp(S) v_i − g_ti‖²`, skew-symmetric.

    Args:
        gradients: of each task at the features, (m, n, d); v is their mean, all as long as their plain mean.

    Of two gradients at right angles, v lies between; what descends this turns v toward the first one, which is to turn
    what its head reads, so that its gradient comes toward v:

    >>> rotation_slopes(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]))[0]
    tensor([[ 0.0000, -0.1768],
            [ 0.1768,  0.0000]])
    """
    norms = _norms(gradients)
    known = (norms > 0).sum().clamp_min(1)
    mean = gradients.sum(dim=0) / known
    factors = torch.where(norms > 0, torch.linalg.vector_norm(mean) / norms.clamp_min(_LEAST), 0.0)
    target = torch.einsum("m,mnd->nd", factors, gradients) / known
    products = torch.einsum("mnd,ne->mde", gradients, target)
    return (products.mT - products) / 2


def _norms(gradients: Tensor) -> Tensor:
    """Lengths (m,) over all samples."""
    found: Tensor = torch.linalg.vector_norm(gradients.flatten(1), dim=1)
    return found


class _Rotations(nn.Module):
    """First norms of the gradients and numbers of steps, (m,); of the rotations Adam's moments (m, d, d), empty until
    the first step, and their numbers of steps (m,)."""

    first_norms: Tensor
    counts: Tensor
    steps: Tensor
    first: Tensor
    second: Tensor
    shaped: ClassVar[tuple[str, ...]] = ("first", "second")

    def __init__(self, m: int) -> None:
        super().__init__()
        self.register_buffer("first_norms", torch.zeros(m))
        for name in ("counts", "steps"):
            self.register_buffer(name, torch.zeros(m, dtype=torch.int64))
        for name in self.shaped:
            self.register_buffer(name, torch.zeros(m, 0, 0))

    def step(self, slopes: Tensor, moves: Tensor, rate: float, decay: float) -> Tensor:
        """What Adam steps S by (m, d, d); 0 for tasks that do not move."""
        if not self.first.numel():
            self.first, self.second = torch.zeros_like(slopes), torch.zeros_like(slopes)
        steps, wide = (each[:, None, None] for each in (self.steps, moves))  # views: steps are counted in place
        direction = adam_direction(self.first, self.second, steps, slopes, wide)
        return rate * decay ** (steps.clamp_min(1) - 1).to(slopes) * direction

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in self.shaped:
            found = state_dict.get(prefix + name)
            if found is not None and found.shape != getattr(self, name).shape:
                setattr(self, name, torch.zeros_like(found, device=self.steps.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)
