"""What a loss is: sums of per-sample statistics, exact over batches of any size, over chunks and over devices."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from moframework.config import Component, arguments
from moframework.config.signature import part_of_function

__all__ = ["Loss", "MeanLoss", "at_least_float32", "group_sums", "known_targets", "ratio", "same_shape"]


class Loss(Component, kind="losses"):
    """A number for a group of samples, to be minimized, computed from additive statistics of each sample.

    The loss of a group is `finish(statistics(output, target).sum(0))`. A mean keeps (sum, count); a gap between two
    groups of people keeps the sum and count of each. Since only sums travel, adding up batches, chunks or devices
    gives the same loss as all samples at once.

    Implementations are differentiable in `output` and read nothing back from the device: no `.item()`, no selection by
    a boolean mask. Nor do they change from call to call: on CUDA devices steps are recorded and replayed
    (`training.cuda_graph`). Statistics are float32 at least, whatever the precision of the outputs.

    Not every sample must have a target of every task. A target that is nan is unknown, as is a class that the loss
    ignores (`known`): such samples do not count, neither in the sum nor in the number that a mean divides by. Where no
    sample counts, the loss is exactly 0 with gradient 0; that is how objectives and balancings tell that a task is
    absent from a batch.

    A loss that is a mean can also be given as a plain function of output and target that returns one value a sample,
    (b,), or one a sample and position, (b, ...). Its further parameters become options::

        def log_cosh(output, target, scale: float = 1.0):
            return (scale * (output.squeeze(1) - target)).cosh().log()

    >>> from moframework.config import config
    >>> @config
    ... class Largest(Loss):
    ...     "The mean over samples of each one's largest difference."
    ...     def statistics(self, output, target):
    ...         largest = (output - target).abs().amax(dim=1)
    ...         return torch.stack([largest, torch.ones_like(largest)], dim=1)
    ...     def finish(self, totals):
    ...         return totals[..., 0] / totals[..., 1]
    >>> float(Largest()(torch.tensor([[1.0, 4.0], [2.0, 0.0]]), torch.zeros(2, 2)))  # (4 + 2) / 2
    3.0
    """

    returns = Tensor

    worst: ClassVar[float | None] = None
    """The largest value that the loss can take; None when there is none. Where neither spec nor problem states a
    reference point, it stands there for the untrained network's loss, which may be near 0: gaps are, before
    anything is learned."""
    expects_logits: ClassVar[bool] = False
    """Whether outputs are logits, so that probabilities in their place are a mistake, which is told before training."""

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

    def known(self, target: Tensor) -> Tensor:
        """Which targets count, booleans in the shape of `target`: those that are not nan; of a loss with a value that
        stands for unknown (an ignored class), those that are not that value either.

        Counted before training: how many labels a task has is printed by `check` and kept with a run.

        >>> from moframework.losses import MSE
        >>> MSE().known(torch.tensor([0.5, float("nan")])).tolist()
        [True, False]
        """
        return known_targets(target)

    def fault(self, target: Tensor, size: int) -> str | None:
        """What is wrong with these targets for an output of `size` values, in words; None when nothing is.

        Asked once before training, so it may read values.
        """
        return None

    @property
    def is_fitted(self) -> bool:
        """Whether it has all that it takes from the training data, such as weights of classes; True unless it says
        otherwise. Before, it cannot be computed."""
        return True

    @property
    def class_weights(self) -> tuple[float, ...] | None:
        """What a sample of each class weighs, where that differs; None where it does not, or where there are no
        classes. `check` tells it, and a run's report keeps it."""
        return None

    @property
    def likelihood(self) -> Literal["gaussian", "bernoulli", "categorical"] | None:
        """What the output stands for, where the loss is the negative logarithm of a likelihood, up to a factor and a
        constant: the mean of a Gaussian, logits of events, logits of classes. None, the default: of none of these."""
        return None

    def fitted(self, targets: Iterable[Tensor], size: int) -> Loss:
        """This loss with what it takes from the training data. Asked once before training, where not `is_fitted`.

        Args:
            targets: those of the training split, in parts (b, ...); read once.
            size: width of the output.

        Raises:
            ValueError: they do not tell it.
        """
        return self

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch: a scalar. Takes what `statistics` takes.

        Training calls this; a loss may have a shorter way to the same number than over the statistics of each sample.
        """
        return self.finish(self.statistics(output, target).sum(dim=0))

    def per_group(self, output: Tensor, target: Tensor, sizes: Sequence[int]) -> Tensor:
        """The losses (M,) of M consecutive groups of a batch.

        Args:
            output, target: as `statistics` takes them.
            sizes: numbers of samples of the groups; together the batch.
        """
        return self.finish(group_sums(self.statistics(output, target), sizes))

    @classmethod
    def from_function(cls, function: Callable[..., Any]) -> type[Component]:
        """A loss around a function of output and target that returns values (b, ...), whose mean is the loss.

        Raises:
            MoframeworkError: it does not take two tensors, or a further parameter cannot be an option.
        """
        made: type[Component] = part_of_function(function, _FunctionLoss, "a loss", ("output", "target"))
        return made


class MeanLoss(Loss):
    """A loss that is a weighted mean of values: statistics are (weighted sum, sum of weights).

    A value whose target is nan is left out whatever `values` makes of it, with weight 0 and without gradient. A value
    of several numbers of the target, such as one of a whole vector, counts where all of them are known.
    """

    @abstractmethod
    def values(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """Weighted values and their weights, both (b, ...); None stands for weights of 1. Where the target is nan both
        may be anything."""

    def statistics(self, output: Tensor, target: Tensor) -> Tensor:
        """Weighted sum and sum of weights of each sample, (b, 2)."""
        values, weights = self._known_values(at_least_float32(output), target)
        sums = values.flatten(1).sum(dim=1) if values.dim() > 1 else values
        if weights is None:
            counts = torch.full_like(sums, values[0].numel() if len(values) else 1)
        else:
            counts = weights.flatten(1).sum(dim=1) if weights.dim() > 1 else weights
        return torch.stack([sums, counts.to(sums.dtype)], dim=1)

    def finish(self, totals: Tensor) -> Tensor:
        """Sum over count; 0 where nothing counts."""
        return ratio(*totals.unbind(dim=-1))

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """See `Loss.__call__`: sum over count of the whole batch, a few operations instead of a dozen."""
        return self.mean(at_least_float32(output), target)

    def per_group(self, output: Tensor, target: Tensor, sizes: Sequence[int]) -> Tensor:
        """See `Loss.per_group`: all means at once where the groups have one size."""
        if len(set(sizes)) > 1 or sizes[0] == 0:
            groups = zip(torch.split(output, list(sizes)), torch.split(target, list(sizes)), strict=True)
            return torch.stack([self(*group) for group in groups])
        values, weights = self._known_values(at_least_float32(output), target)
        values = values.reshape(len(sizes), sizes[0], *values.shape[1:]).flatten(1)
        if weights is None:
            return values.mean(dim=1)
        weights = weights.reshape(len(sizes), sizes[0], *weights.shape[1:]).flatten(1)
        return ratio(values.sum(dim=1), weights.sum(dim=1).to(values.dtype))

    def mean(self, output: Tensor, target: Tensor) -> Tensor:
        """The weighted mean of `values` over a batch, a scalar; 0 where nothing counts."""
        values, weights = self._known_values(output, target)
        if weights is not None:
            return ratio(values.sum(), weights.sum().to(values.dtype))
        return values.mean() if values.numel() else values.sum()

    def _known_values(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """`values`, without those whose target is nan. Integers have no nan: classes cost nothing more."""
        if not target.is_floating_point():
            return self.values(output, target)
        known = known_targets(target)
        # Cut off on both sides: 0 times a gradient that is nan would be nan.
        reached = _spread(known, output)
        values, weights = self.values(torch.where(reached, output, output.detach()), target)
        counts = _spread(known, values).expand_as(values)
        return torch.where(counts, values, 0.0), counts if weights is None else torch.where(counts, weights, 0)


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


def group_sums(values: Tensor, sizes: Sequence[int]) -> Tensor:
    """Sums (M, ...) over M consecutive groups of values (b, ...), of the given sizes.

    >>> group_sums(torch.tensor([1.0, 2.0, 3.0]), [1, 2]).tolist()
    [1.0, 5.0]
    """
    if len(set(sizes)) == 1:
        return values.reshape(len(sizes), sizes[0], *values.shape[1:]).sum(dim=1)
    return torch.stack([group.sum(dim=0) for group in torch.split(values, list(sizes))])


def known_targets(target: Tensor, ignored: float | None = None) -> Tensor:
    """Which targets are known, booleans in their shape: all but nan and the value `ignored`.

    >>> known_targets(torch.tensor([1.0, float("nan"), -100.0]), -100).tolist()
    [True, False, False]
    """
    known = target == target  # nan alone differs from itself
    return known if ignored is None else known & (target != ignored)


def _spread(known: Tensor, like: Tensor) -> Tensor:
    """What is known of targets, for tensors computed from them: in a shape that broadcasts to that of `like` (b, ...).
    Where that has not the positions of the target, what is made of several of its numbers is known where all are."""
    if known.shape == like.shape:
        return known
    if like.dim() == known.dim() + 1 and like.shape[:1] + like.shape[2:] == known.shape:
        return known.unsqueeze(1)  # (b, c, ...) for a target (b, ...)
    if known.dim() == like.dim() + 1 and known.shape[:1] + known.shape[2:] == like.shape:
        return known.all(dim=1)  # (b, ...) for a target (b, c, ...)
    whole = known if known.dim() == 1 else known.flatten(1).all(dim=1)
    return whole.reshape(-1, *[1] * (like.dim() - 1))


def ratio(sums: Tensor, counts: Tensor) -> Tensor:
    """sums / counts, of one shape; 0, with gradient 0, where the count is 0.

    >>> ratio(torch.tensor([3.0, 5.0]), torch.tensor([2.0, 0.0])).tolist()
    [1.5, 0.0]
    """
    return torch.where(counts == 0, 0.0, sums) / torch.where(counts == 0, 1.0, counts)


def at_least_float32(output: Tensor) -> Tensor:
    """`output` in float32 unless it is wider: sums over a data set in half precision would be worthless."""
    return output.float() if output.dtype in (torch.float16, torch.bfloat16) else output


def same_shape(output: Tensor, target: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Both in one shape (b, ...), and in the dtype of the output.

    Args:
        output: (b, ...), or with a further dimension of 1 after the batch, which is taken out.
        target: (b, ...).
        name: what a spec calls the loss, for the message.

    Raises:
        ValueError: the shapes differ otherwise: broadcasting would average all pairs of samples, in silence.
    """
    if output.dim() == target.dim() + 1 and output.shape[1] == 1:
        output = output.squeeze(1)
    if output.shape != target.shape:
        raise ValueError(
            f"{name} needs outputs and targets of one shape, or outputs with a further dimension of 1 after the batch, "
            f"but has {tuple(output.shape)} and {tuple(target.shape)}"
        )
    return output, target.to(output.dtype)
