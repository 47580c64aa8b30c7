"""Cross-entropy: of classes, and of one class against the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, cast

import attrs
import torch
from torch import Tensor
from torch.nn import functional

from moframework.config import config, option
from moframework.constants import constant
from moframework.losses.base import MeanLoss, known_targets, ratio, same_shape

__all__ = ["BinaryCrossEntropy", "CrossEntropy"]

_UNFITTED = (
    "{} is balanced: its numbers come from the training data, which `solve` and `check` count; in code, give them, or "
    "take moframework.problem.fitted(problem)"
)


@config
class CrossEntropy(MeanLoss):
    """Cross-entropy of classes, mean over samples and positions; as `torch.nn.functional.cross_entropy`.

    Output: logits (b, c, ...). Target: classes in [0, c), integers (b, ...).

    >>> output = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]).log()
    >>> round(float(CrossEntropy()(output, torch.tensor([0, -100]))), 4)  # log 2; class -100 is unknown
    0.6931
    >>> round(float(CrossEntropy(weight=(1, 3, 1))(output, torch.tensor([0, 1]))), 4)  # (log 2 + 3 log 4) / (1 + 3)
    1.213
    """

    expects_logits: ClassVar[bool] = True

    ignore_index: int = option(-100, help="target value of samples or pixels that do not count")
    label_smoothing: float = option(0.0, ge=0, lt=1, help="share of the target spread evenly over all classes")
    weight: tuple[float, ...] | Literal["balanced"] | None = option(
        None,
        ge=0,
        help="a weight for each class; balanced: n / (classes · n of the class), counted in the training split; none: "
        "all alike",
    )

    @property
    def is_fitted(self) -> bool:
        """See `Loss.is_fitted`: unless `weight` is balanced."""
        return self.weight != "balanced"

    @property
    def class_weights(self) -> tuple[float, ...] | None:
        """`weight`, where it is known."""
        return self.weight if isinstance(self.weight, tuple) else None

    @property
    def likelihood(self) -> Literal["categorical"] | None:
        """See `Loss.likelihood`: without weights and smoothing."""
        return "categorical" if self.weight is None and not self.label_smoothing else None

    def fitted(self, targets: Iterable[Tensor], size: int) -> CrossEntropy:
        """See `Loss.fitted`: weights under which each class that occurs counts the same in all. One that never occurs
        in training has weight 1."""
        counts = torch.zeros(size, dtype=torch.double)
        for target in targets:
            counts += torch.bincount(target[self.known(target)].long().cpu().flatten(), minlength=size)[:size]
        if not bool(counts.sum()):
            raise ValueError("cross_entropy: weight: balanced needs training samples with a label, but there is none")
        occurs = counts > 0
        weight = torch.where(occurs, counts.sum() / (occurs.sum() * counts.clamp_min(1)), 1.0)
        return cast(CrossEntropy, attrs.evolve(cast(Any, self), weight=tuple(weight.tolist())))

    def known(self, target: Tensor) -> Tensor:
        """See `Loss.known`: not `ignore_index`."""
        return known_targets(target, self.ignore_index)

    def values(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """Weighted cross-entropies and weights; see the class."""
        return self._reduced(output, target, "none")

    def mean(self, output: Tensor, target: Tensor) -> Tensor:
        """See `MeanLoss.mean`."""
        if self.weight is not None or self.label_smoothing:
            total, weights = self._reduced(output, target, "sum")
            return ratio(total, weights.sum().to(total.dtype))
        # torch's own mean in its place, which has no number, but no gradient either, where nothing counts.
        mean, counts = self._reduced(output, target, "mean")
        return torch.where(counts.any(), mean, 0.0)

    def _reduced(self, output: Tensor, target: Tensor, reduction: str) -> tuple[Tensor, Tensor]:
        """Weighted cross-entropies, reduced as torch does, and how much each target counts."""
        target, weight = self._checked(output, target)
        values = functional.cross_entropy(
            output,
            target,
            weight=weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction=reduction,
        )
        return values, self._weights(target, weight)

    def _checked(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """Targets as torch wants them, and the weights of the classes."""
        if output.dim() != target.dim() + 1 or output.shape[:1] + output.shape[2:] != target.shape:
            raise ValueError(
                f"cross_entropy needs outputs (b, classes, ...) and targets (b, ...), "
                f"but has {tuple(output.shape)} and {tuple(target.shape)}"
            )
        if target.is_floating_point():
            raise ValueError(f"cross_entropy needs integer classes as targets, but has {target.dtype}")
        if self.weight == "balanced":
            raise ValueError(_UNFITTED.format("cross_entropy: weight"))
        return target.long(), None if self.weight is None else constant(self.weight, output.device, output.dtype)

    def _weights(self, target: Tensor, weight: Tensor | None) -> Tensor:
        """How much each target counts."""
        counts = target != self.ignore_index
        return counts if weight is None else weight[torch.where(counts, target, torch.zeros_like(target))] * counts

    def fault(self, target: Tensor, size: int) -> str | None:
        """Classes outside the output, or a number of weights that does not match it."""
        if size < 2:
            return f"cross_entropy needs an output of at least 2 values, one a class, but size is {size}"
        if self.weight is not None and self.weight != "balanced" and len(self.weight) != size:
            return f"cross_entropy has {len(self.weight)} class weights for {size} classes"
        if target.is_floating_point():
            return (
                f"cross_entropy needs integer classes as targets, but they are {target.dtype}; an unknown class is "
                f"{self.ignore_index} (ignore_index), not nan"
            )
        found = target[self.known(target)]
        if found.numel() and (int(found.min()) < 0 or int(found.max()) >= size):
            return (
                f"targets run from {int(found.min())} to {int(found.max())}, but size {size} allows 0 to {size - 1} "
                f"(and {self.ignore_index} for what does not count)"
            )
        return None


@config
class BinaryCrossEntropy(MeanLoss):
    """Binary cross-entropy of logits, mean; as `torch.nn.functional.binary_cross_entropy_with_logits`.

    Output: logits (b, 1, ...) or (b, ...). Target: 0, 1, booleans or probabilities, of that shape or without
    the 1; nan is unknown and does not count.

    >>> output, target = torch.logit(torch.tensor([0.5, 0.75, 0.9])), torch.tensor([1.0, 0.0, float("nan")])
    >>> round(float(BinaryCrossEntropy()(output, target)), 4)  # (log 2 + log 4) / 2
    1.0397
    >>> round(float(BinaryCrossEntropy(positive_weight=3.0)(output, target)), 4)  # (3 log 2 + log 4) / 2
    1.7329
    """

    expects_logits: ClassVar[bool] = True

    ignore_index: int = option(-100, help="target value of what does not count")
    positive_weight: float | Literal["balanced"] = option(
        1.0,
        gt=0,
        help="weight of the positive class against the negative one; balanced: how many negative samples the training "
        "split has for each positive one",
    )

    @property
    def is_fitted(self) -> bool:
        """See `Loss.is_fitted`: unless `positive_weight` is balanced."""
        return self.positive_weight != "balanced"

    @property
    def class_weights(self) -> tuple[float, ...] | None:
        """1, and `positive_weight` where it is known and another."""
        weight = self.positive_weight
        return None if isinstance(weight, str) or weight == 1 else (1.0, float(weight))

    @property
    def likelihood(self) -> Literal["bernoulli"] | None:
        """See `Loss.likelihood`: without a weight."""
        return "bernoulli" if self.positive_weight == 1 else None

    def fitted(self, targets: Iterable[Tensor], size: int) -> BinaryCrossEntropy:
        """See `Loss.fitted`: a weight under which both classes count the same in all. A target that is a probability
        counts for both, in shares."""
        count, positive = 0, 0.0
        for target in targets:
            found = target[self.known(target)].double()
            count, positive = count + found.numel(), positive + float(found.sum())
        if not 0 < positive < count:
            raise ValueError(
                "binary_cross_entropy: positive_weight: balanced needs training samples of both classes, but has "
                f"{positive:g} positive ones of {count:,}"
            )
        return cast(BinaryCrossEntropy, attrs.evolve(cast(Any, self), positive_weight=(count - positive) / positive))

    def known(self, target: Tensor) -> Tensor:
        """See `Loss.known`: neither nan nor `ignore_index`."""
        return known_targets(target, self.ignore_index)

    def values(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """Binary cross-entropies, and what counts."""
        output, target = same_shape(output, target, "binary_cross_entropy")
        counts = target != self.ignore_index
        target = torch.where(counts, target, torch.zeros_like(target))
        if self.positive_weight == "balanced":
            raise ValueError(_UNFITTED.format("binary_cross_entropy: positive_weight"))
        weight = None if self.positive_weight == 1 else constant((self.positive_weight,), output.device, output.dtype)
        values = functional.binary_cross_entropy_with_logits(output, target, pos_weight=weight, reduction="none")
        return torch.where(counts, values, torch.zeros_like(values)), counts

    def fault(self, target: Tensor, size: int) -> str | None:
        """Targets outside [0, 1]."""
        found = target[self.known(target)]
        if found.numel() and (float(found.min()) < 0 or float(found.max()) > 1):
            return (
                f"binary_cross_entropy needs targets between 0 and 1, but they run from {float(found.min()):g} "
                f"to {float(found.max()):g}"
            )
        return None
