"""Losses of tasks, as sums of per-sample statistics: exact over batches of any size, over chunks and over devices."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from moframework.config import Component, arguments, config, option, options_class
from moframework.constants import constant
from moframework.errors import MoframeworkError

__all__ = [
    "L1",
    "MSE",
    "BinaryCrossEntropy",
    "Cosine",
    "CrossEntropy",
    "GroupGap",
    "Huber",
    "Loss",
    "MaskedL1",
    "MeanLoss",
    "piece_sums",
]


class Loss(Component, kind="losses"):
    """A number for a group of samples, to be minimized, computed from additive statistics of each sample.

    The loss of a group is `finish(statistics(output, target).sum(0))`. A mean keeps (sum, count); a gap between two
    groups of people keeps the sum and count of each. Since only sums travel, adding up batches, chunks or devices
    gives the same loss as all samples at once.

    Implementations are differentiable in `output` and read nothing back from the device: no `.item()`, no selection by
    a boolean mask. Nor do they change from call to call: on CUDA devices steps are recorded and replayed
    (`training.cuda_graph`). Statistics are float32 at least, whatever the precision of the outputs. Where no sample
    counts, the loss is 0 with gradient 0.

    A loss that is a mean can also be given as a plain function of output and target that returns one value a sample,
    (b,), or one a sample and position, (b, ...). Its further parameters become options::

        def log_cosh(output, target, scale: float = 1.0):
            return (scale * (output.squeeze(1) - target)).cosh().log()
    """

    @abstractmethod
    def statistics(self, output: Tensor, target: Tensor) -> Tensor:
        """Additive statistics of each sample.

        Args:
            output: what the network says (b, ...), raw: logits where there are classes.
            target: what is right (b, ...).

        Returns:
            (b, k), float32 or wider, with the gradient of `output`.

        Raises:
            ValueError: the shapes do not go together.
        """

    @abstractmethod
    def finish(self, totals: Tensor) -> Tensor:
        """The loss of a group from its summed statistics (..., k); returns (...)."""

    def fault(self, target: Tensor, size: int) -> str | None:
        """What is wrong with these targets for an output of `size` values, in words; None when nothing is.

        Asked once before training, so it may read values.
        """
        return None

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch: a scalar. Takes what `statistics` takes.

        Training calls this; a loss may have a shorter way to the same number than over the statistics of each sample.
        """
        return self.finish(self.statistics(output, target).sum(dim=0))

    def by_piece(self, output: Tensor, target: Tensor, sizes: Sequence[int]) -> Tensor:
        """The losses (M,) of M consecutive pieces of a batch.

        Args:
            output, target: as `statistics` takes them.
            sizes: numbers of samples of the pieces; together the batch.
        """
        return self.finish(piece_sums(self.statistics(output, target), sizes))

    @classmethod
    def from_function(cls, function: Callable[..., Any]) -> type[Component]:
        """A loss around a function of output and target that returns values (b, ...), whose mean is the loss.

        Raises:
            MoframeworkError: it does not take two tensors, or a further parameter cannot be an option.
        """
        name = getattr(function, "__name__", type(function).__name__)
        parameters = list(inspect.signature(function).parameters.values())
        given = [p for p in parameters[:2] if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        if len(given) < 2:
            raise MoframeworkError(f"a loss function takes output and target first, but {name} does not")
        skip = {parameter.name for parameter in given}
        made: type[Component] = options_class(function, name=name, bases=(_FunctionLoss,), skip=skip)
        return made


class MeanLoss(Loss):
    """A loss that is a weighted mean of values: statistics are (weighted sum, sum of weights)."""

    @abstractmethod
    def values(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """Weighted values and their weights, both (b, ...); None stands for weights of 1."""

    def statistics(self, output: Tensor, target: Tensor) -> Tensor:
        """Weighted sum and sum of weights of each sample, (b, 2)."""
        values, weights = self.values(_wide(output), target)
        sums = values.flatten(1).sum(dim=1) if values.dim() > 1 else values
        if weights is None:
            counts = torch.full_like(sums, values[0].numel() if len(values) else 1)
        else:
            counts = weights.flatten(1).sum(dim=1) if weights.dim() > 1 else weights
        return torch.stack([sums, counts.to(sums.dtype)], dim=1)

    def finish(self, totals: Tensor) -> Tensor:
        """Sum over count; 0 where nothing counts."""
        return _ratio(*totals.unbind(dim=-1))

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """See `Loss.__call__`: sum over count of the whole batch, a few operations instead of a dozen."""
        return self.mean(_wide(output), target)

    def by_piece(self, output: Tensor, target: Tensor, sizes: Sequence[int]) -> Tensor:
        """See `Loss.by_piece`: all means at once where the pieces are alike."""
        if len(set(sizes)) > 1 or sizes[0] == 0:
            pieces = zip(torch.split(output, list(sizes)), torch.split(target, list(sizes)), strict=True)
            return torch.stack([self(*piece) for piece in pieces])
        values, weights = self.values(_wide(output), target)
        values = values.reshape(len(sizes), sizes[0], *values.shape[1:]).flatten(1)
        if weights is None:
            return values.mean(dim=1)
        weights = weights.reshape(len(sizes), sizes[0], *weights.shape[1:]).flatten(1)
        return _ratio(values.sum(dim=1), weights.sum(dim=1).to(values.dtype))

    def mean(self, output: Tensor, target: Tensor) -> Tensor:
        """The weighted mean of `values` over a batch, a scalar; 0 where nothing counts."""
        values, weights = self.values(output, target)
        if weights is not None:
            return _ratio(values.sum(), weights.sum().to(values.dtype))
        return values.mean() if values.numel() else values.sum()


@config
class CrossEntropy(MeanLoss):
    """Cross-entropy of classes, mean over samples and positions; as `torch.nn.functional.cross_entropy`.

    Output: logits (b, c, ...). Target: classes in [0, c), integers (b, ...).
    """

    ignore_index: int = option(-100, help="target value of samples or pixels that do not count")
    label_smoothing: float = option(0.0, ge=0, lt=1, help="share of the target spread evenly over all classes")
    weight: tuple[float, ...] | None = option(None, ge=0, help="a weight for each class; none: all alike")

    def values(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """Weighted cross-entropies and weights; see the class."""
        return self._reduced(output, target, "none")

    def mean(self, output: Tensor, target: Tensor) -> Tensor:
        """See `MeanLoss.mean`."""
        if self.weight is not None or self.label_smoothing:
            total, weights = self._reduced(output, target, "sum")
            return _ratio(total, weights.sum().to(total.dtype))
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
        return target.long(), None if self.weight is None else constant(self.weight, output.device, output.dtype)

    def _weights(self, target: Tensor, weight: Tensor | None) -> Tensor:
        """How much each target counts."""
        counts = target != self.ignore_index
        return counts if weight is None else weight[torch.where(counts, target, torch.zeros_like(target))] * counts

    def fault(self, target: Tensor, size: int) -> str | None:
        """Classes outside the output, or a number of weights that does not match it."""
        if size < 2:
            return f"cross_entropy needs an output of at least 2 values, one a class, but size is {size}"
        if self.weight is not None and len(self.weight) != size:
            return f"cross_entropy has {len(self.weight)} class weights for {size} classes"
        if target.is_floating_point():
            return f"cross_entropy needs integer classes as targets, but they are {target.dtype}"
        found = target[target != self.ignore_index]
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
    the 1.
    """

    ignore_index: int = option(-100, help="target value of what does not count")
    positive_weight: float = option(1.0, gt=0, help="weight of the positive class against the negative one")

    def values(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """Binary cross-entropies, and what counts."""
        output, target = _alike(output, target, "binary_cross_entropy")
        counts = target != self.ignore_index
        target = torch.where(counts, target, torch.zeros_like(target))
        weight = None if self.positive_weight == 1 else constant((self.positive_weight,), output.device, output.dtype)
        values = functional.binary_cross_entropy_with_logits(output, target, pos_weight=weight, reduction="none")
        return torch.where(counts, values, torch.zeros_like(values)), counts

    def fault(self, target: Tensor, size: int) -> str | None:
        """Targets outside [0, 1]."""
        found = target[target != self.ignore_index]
        if found.numel() and (float(found.min()) < 0 or float(found.max()) > 1):
            return (
                f"binary_cross_entropy needs targets between 0 and 1, but they run from {float(found.min()):g} "
                f"to {float(found.max()):g}"
            )
        return None


class _Difference(MeanLoss):
    """A loss of the difference of outputs and targets of one shape, which torch has with its mean."""

    word: ClassVar[str]
    """What a spec calls it."""

    def values(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """The loss of each number."""
        return self._reduced(*_alike(output, target, self.word), "none"), None

    def mean(self, output: Tensor, target: Tensor) -> Tensor:
        """See `MeanLoss.mean`: one operation."""
        return self._reduced(*_alike(output, target, self.word), "mean" if len(output) else "sum")

    @abstractmethod
    def _reduced(self, output: Tensor, target: Tensor, reduction: str) -> Tensor:
        """As the function of torch."""


@config
class MSE(_Difference):
    """Mean squared error. Output (b, 1, ...) or as the target (b, ...)."""

    word: ClassVar[str] = "mse"

    def _reduced(self, output: Tensor, target: Tensor, reduction: str) -> Tensor:
        return functional.mse_loss(output, target, reduction=reduction)


@config
class L1(_Difference):
    """Mean absolute error. Output (b, 1, ...) or as the target (b, ...)."""

    word: ClassVar[str] = "l1"

    def _reduced(self, output: Tensor, target: Tensor, reduction: str) -> Tensor:
        return functional.l1_loss(output, target, reduction=reduction)


@config
class Huber(_Difference):
    """Huber loss: squared (halved) below `delta`, linear beyond; as `torch.nn.functional.huber_loss`."""

    word: ClassVar[str] = "huber"
    delta: float = option(1.0, gt=0, help="difference at which the loss turns from squared to linear")

    def _reduced(self, output: Tensor, target: Tensor, reduction: str) -> Tensor:
        return functional.huber_loss(output, target, reduction=reduction, delta=self.delta)


@config
class MaskedL1(MeanLoss):
    """Mean absolute error over valid targets, such as depth maps in which 0 means unknown.

    Output (b, 1, ...) or as the target (b, ...).
    """

    invalid: float = option(0.0, help="target value that means unknown and does not count")

    def values(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """Absolute differences, and what is valid."""
        output, target = _alike(output, target, "masked_l1")
        valid = target != self.invalid
        return torch.where(valid, (output - target).abs(), torch.zeros_like(output)), valid


@config
class Cosine(MeanLoss):
    """1 − cos of the angle between two vectors, mean over positions; for surface normals.

    Vectors lie along dimension 1: output and target (b, c, ...), of any length. A target of all zeros means unknown
    and does not count. In [0, 2].
    """

    def values(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """1 − cos at each position (b, ...), and where the target is known."""
        if output.shape != target.shape or output.dim() < 2:
            raise ValueError(
                f"cosine needs outputs and targets (b, c, ...) of one shape, "
                f"but has {tuple(output.shape)} and {tuple(target.shape)}"
            )
        target = target.to(output.dtype)
        known = (target != 0).any(dim=1)
        values = 1 - functional.cosine_similarity(output, target, dim=1)
        return torch.where(known, values, torch.zeros_like(values)), known


@config
class GroupGap(Loss):
    """How differently two groups are treated: |mean p over group 1 − mean p over group 0|, p the chance of class 1.

    With a group for each sample it is the demographic-parity gap; with a group for the samples of class 1 alone, and
    `ignore_index` for the others, the equal-opportunity gap: the difference of true-positive rates. In [0, 1]; 0 while
    a group is absent. The gap of a batch is noisy, and its absolute value too large on average by about
    0.8·σ·√(1/n₀ + 1/n₁), with σ the deviation of p and n the sizes of the groups: batches, and the parts of a batch
    that `batch: split` deals out, should hold hundreds of each group.

    Output: logits (b, 2), or (b, 1) or (b,) where class 1 is positive. Target: group 0 or 1, integers (b,).
    """

    ignore_index: int = option(-100, help="target value of samples that are in neither group")

    def statistics(self, output: Tensor, target: Tensor) -> Tensor:
        """Sum of p and number of samples of group 0, then of group 1: (b, 4)."""
        output = _wide(output)
        if output.dim() == 2 and output.shape[1] == 2:
            output = output[:, 1] - output[:, 0]  # the logit of class 1 against class 0
        output, _ = _alike(output, target, "group_gap")
        if output.dim() != 1:
            raise ValueError(f"group_gap needs a group for each sample, (b,), but has {tuple(target.shape)}")
        chance = torch.sigmoid(output)
        members = torch.stack([target == 0, target == 1], dim=1).to(chance.dtype)
        return torch.stack([chance.unsqueeze(1) * members, members], dim=2).flatten(1)

    def finish(self, totals: Tensor) -> Tensor:
        """The difference of the two means; 0 where a group is absent."""
        sums, counts = totals.reshape(*totals.shape[:-1], 2, 2).unbind(dim=-1)
        means = sums / counts.clamp_min(1)
        gap = (means[..., 1] - means[..., 0]).abs()
        return torch.where((counts > 0).all(dim=-1), gap, torch.zeros_like(gap))

    def fault(self, target: Tensor, size: int) -> str | None:
        """More than two classes, values that are no group, or a group that is absent."""
        if size > 2:
            return f"group_gap needs an output of size 1 or 2, but size is {size}"
        found = torch.unique(target[target != self.ignore_index]).tolist()
        if found != [0, 1]:
            return (
                f"group_gap needs both groups, 0 and 1, as targets (and {self.ignore_index} for samples in neither), "
                f"but they hold {', '.join(f'{value:g}' for value in found[:5]) or 'none'}"
            )
        return None


class _FunctionLoss(MeanLoss):
    """The mean of what a plain function returns."""

    function: ClassVar[Callable[..., Tensor]]

    def values(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the function returns."""
        values = type(self).function(output, target, **arguments(self))
        if values.dim() == 0 or len(values) != len(output):
            raise ValueError(
                f"the loss function {type(self).__name__} must return one value a sample or position, "
                f"({len(output)}, ...), but returned {tuple(values.shape)}; leave the mean to the framework"
            )
        return values, None


def piece_sums(values: Tensor, sizes: Sequence[int]) -> Tensor:
    """Sums (M, ...) over M consecutive pieces of values (b, ...), of the given sizes.

    >>> piece_sums(torch.tensor([1.0, 2.0, 3.0]), [1, 2]).tolist()
    [1.0, 5.0]
    """
    if len(set(sizes)) == 1:
        return values.reshape(len(sizes), sizes[0], *values.shape[1:]).sum(dim=1)
    return torch.stack([piece.sum(dim=0) for piece in torch.split(values, list(sizes))])


def _ratio(sums: Tensor, counts: Tensor) -> Tensor:
    """sums / counts; 0, with gradient 0, where the count is 0."""
    return torch.where(counts == 0, 0.0, sums) / torch.where(counts == 0, 1.0, counts)


def _wide(output: Tensor) -> Tensor:
    """`output` in float32 unless it is wider: sums over a data set in half precision would be worthless."""
    return output.float() if output.dtype in (torch.float16, torch.bfloat16) else output


def _alike(output: Tensor, target: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Both in one shape and dtype; an output (b, 1, ...) goes with a target (b, ...)."""
    if output.dim() == target.dim() + 1 and output.shape[1] == 1:
        output = output.squeeze(1)
    if output.shape != target.shape:
        # Broadcasting here would average all pairs of samples, in silence.
        raise ValueError(
            f"{name} needs outputs and targets of one shape, or outputs with a further dimension of 1 after the batch, "
            f"but has {tuple(output.shape)} and {tuple(target.shape)}"
        )
    return output, target.to(output.dtype)
