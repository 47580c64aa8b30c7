"""How differently two groups are decided on."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from moframework.config import config, option
from moframework.metrics.base import Metric, classes, mean_of

if TYPE_CHECKING:
    import torchmetrics

__all__ = ["GroupGap"]


@config
class GroupGap(Metric):
    """How differently two groups are decided on: the difference of their shares of decisions for class 1.

    With a group for each sample it is the demographic-parity gap; with a group for the samples of class 1 alone, the
    equal-opportunity gap. Unlike the loss of this name it counts decisions, not chances. In [0, 1]; nan where a group
    is absent. Output as `accuracy` has it, of size 1 or 2; target: group 0 or 1, (b,).
    """

    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float | None] = 1.0

    ignore_index: int = option(-100, help="target value of samples that are in neither group")

    @property
    def label(self) -> str:
        """`gap`."""
        return "gap"

    def make(self, size: int) -> torchmetrics.Metric:
        """The shares of both groups, subtracted at the end."""

        def chosen(group: int) -> torchmetrics.Metric:
            return mean_of(lambda output, target: (classes(output, target, size).float(), target == group))

        return abs(chosen(1) - chosen(0))
