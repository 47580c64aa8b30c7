"""BayesAgg-MTL: gradients at the features weigh by how sure the heads are of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.errors import SpecError
from moframework.objectives.features import FeatureAggregation, Features, Head
from moframework.objectives.last_layer import Gaussian, Moments, evidence, gradient_moments

__all__ = ["BayesAgg", "combined_gradient"]

# What keeps precisions finite, as released.
_LEAST = 1e-8


@config
class BayesAgg(FeatureAggregation):
    """Bayesian aggregation (Achituve et al., ICML 2024, arXiv 2402.04005): the gradient at feature i of a sample is
    `Σ_t λ_t α_ti μ_ti / Σ_t λ_t α_ti`, α_ti = σ_ti^(−2s), with mean μ_ti and variance σ²_ti of the gradients that the
    posterior over the weights of each task's last layer implies.

    Of squared errors posterior and moments are in closed form. Of classes and events the posterior is a Laplace
    approximation (Gauss-Newton, full over the weights of all classes, by output for events) and the moments are those
    of `samples` draws. A batch's posterior has that of the last epoch's samples as its prior, and this one N(0, γ I).
    The first `warmup` epochs go down Σ_t λ_t L_t. Defaults are those of the released code, whose experiments choose γ
    and the powers by validation (UTKFace: γ .005, powers .3 and .1). The heads descend their own losses.

    With equal preferences it is the method itself. What an epoch tells is summed over its batches, each expanded at the
    weights that it met, where the released code keeps all features and expands at the last weights; of a regression
    that is the same. The bias is part of the posterior in regressions too. A task that a sample has no label of does
    not count for it.

    Limits: each head must be one linear layer on features (b, d), as `mlp` and the image encoders have it, and each
    loss `mse`, `cross_entropy` or `binary_cross_entropy`, without weights and smoothing. The classes of a task need a
    matrix of (o (d + 1))² numbers and its Cholesky factor in each step.

    With the numbers of UTKFace, and heads of one layer::

        problem: {name: digits, backbone: mlp}
        solver: {name: single, objective: {name: bayes_agg, gamma: 0.005, power: 0.3, power_classes: 0.1}}
    """

    needs_heads: ClassVar[bool] = True

    gamma: float = option(1.0, gt=0, help="variance γ of the prior of the heads' weights")
    power: float = option(0.5, ge=0, help="power s of a regression's precisions; 0: they do not count")
    power_classes: float = option(0.5, ge=0, help="power s of the precisions of classes and events")
    samples: int = option(1024, ge=2, le=1_000_000, help="draws for the moments of classes and events")
    warmup: int = option(1, ge=1, le=1_000_000, help="epochs of the plain weighted sum at the start")
    largest: int = option(
        6000, ge=2, le=100_000, help="weights of a head from which it is refused: their square counts"
    )

    def build(self, m: int, r: int) -> nn.Module:
        """What the epochs tell of each head's weights, whose sizes the first step shows."""
        return _Posteriors(m)

    def combine(self, features: Features, preference: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `FeatureAggregation.combine`; changes the state, but by what is not finite."""
        own = cast(_Posteriors, state)
        finite, warm = self.finite(features), int(own.epochs) < self.warmup
        wide = features.values if features.values.device.type == "mps" else features.values.double()
        moments, powers = [], []
        for t, head in enumerate(features.heads):
            told = evidence(head, wide)
            own.make(t, told)
            if not warm:
                moments.append(gradient_moments(head, features.values, own.prior(t) + told, self.samples))
                powers.append(self.power if head.likelihood == "gaussian" else self.power_classes)
            own.add(t, told, finite)
        if warm:
            return torch.einsum("m,mnd->nd", preference.to(features.gradients), features.gradients)
        return combined_gradient(moments, powers, preference) / len(features.values)

    def epoch_ended(self, state: nn.Module | None) -> None:
        """What the epoch has told is the prior of the next one."""
        cast(_Posteriors, state).end_epoch(self.gamma)

    def check(self, heads: Sequence[Head]) -> None:
        """See `FeatureAggregation.check`: posteriors must not be too large."""
        for head in heads:
            o, d = head.weight.shape
            size = (o if head.likelihood == "categorical" else 1) * (d + 1)
            if size > self.largest:
                raise SpecError(
                    f"solver.objective: the posterior of task '{head.task}' is over {size:,} weights, of which the "
                    f"square is kept; the most is {self.largest:,} (largest): take narrower features, or another "
                    "objective"
                )


def combined_gradient(moments: list[Moments], powers: list[float], preference: Tensor) -> Tensor:
    """`Σ_t λ_t α_ti μ_ti / Σ_t λ_t α_ti` with α = σ^(−2s), (b, d); 0 for samples without a label.

    Args:
        moments: of each task.
        powers: s of each task.
        preference: λ (m,).

    >>> one, two = (Moments(torch.tensor([[[mean]]]), torch.tensor([[[variance]]]), torch.tensor([[True]]))
    ...             for mean, variance in ((1.0, 1.0), (4.0, 0.25)))
    >>> combined_gradient([one, two], [1.0, 1.0], torch.tensor([0.5, 0.5]))
    tensor([[3.4000]])
    """
    total = torch.zeros_like(moments[0].mean[:, 0])
    weights = torch.zeros_like(total)
    for each, power, share in zip(moments, powers, preference.unbind(), strict=True):
        weight = share * each.variance.clamp_min(_LEAST) ** -power * each.known.unsqueeze(2)
        total = total + (weight * each.mean).sum(dim=1)
        weights = weights + weight.sum(dim=1)
    return torch.where(weights == 0, 0.0, total / torch.where(weights == 0, 1.0, weights))


class _Posteriors(nn.Module):
    """For each task the posterior of the last epoch's samples, and what this epoch's tell so far; empty until the first
    step; and the number of epochs that have ended."""

    epochs: Tensor

    def __init__(self, m: int) -> None:
        super().__init__()
        self.tasks = m
        self.register_buffer("epochs", torch.zeros((), dtype=torch.int64))
        for name in self._names():
            self.register_buffer(name, torch.zeros(0))

    def _names(self) -> list[str]:
        return [f"{part}_{t}" for t in range(self.tasks) for part in ("prior", "prior_linear", "sum", "sum_linear")]

    def make(self, t: int, like: Gaussian) -> None:
        """Give what is kept of a task the shape of what a batch tells."""
        if not getattr(self, f"sum_{t}").numel():
            for part in ("prior", "sum"):
                setattr(self, f"{part}_{t}", torch.zeros_like(like.precision))
                setattr(self, f"{part}_linear_{t}", torch.zeros_like(like.linear))

    def prior(self, t: int) -> Gaussian:
        """What the last epoch has told of a task's head."""
        return Gaussian(getattr(self, f"prior_{t}"), getattr(self, f"prior_linear_{t}"))

    def add(self, t: int, told: Gaussian, finite: Tensor) -> None:
        """Count what a batch tells, where it is finite."""
        getattr(self, f"sum_{t}").add_(torch.where(finite, told.precision, 0.0))
        getattr(self, f"sum_linear_{t}").add_(torch.where(finite, told.linear, 0.0))

    def end_epoch(self, gamma: float) -> None:
        """Let the sums be the prior, and begin new ones."""
        self.epochs += 1
        for t in range(self.tasks):
            total, linear = getattr(self, f"sum_{t}"), getattr(self, f"sum_linear_{t}")
            if total.numel():
                identity = torch.eye(total.shape[-1], device=total.device, dtype=total.dtype)
                getattr(self, f"prior_{t}").copy_(total + identity / gamma)
                getattr(self, f"prior_linear_{t}").copy_(linear)
                total.zero_()
                linear.zero_()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in self._names():
            found, own = state_dict.get(prefix + name), getattr(self, name)
            if found is not None and (found.shape, found.dtype) != (own.shape, own.dtype):
                setattr(self, name, torch.zeros_like(found, device=self.epochs.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)
