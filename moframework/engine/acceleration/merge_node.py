"""Large low-rank adapters merged by one node of autograd's graph (`layers.merge.merged_by_node`)."""

from __future__ import annotations

from typing import ClassVar

from moframework.engine.acceleration.base import Acceleration
from moframework.engine.settings import Training
from moframework.engine.step import Step
from moframework.layers.merge import LARGE, merged_by_node
from moframework.weights.low_rank import LowRankSpace

__all__ = ["MergeNode"]


class MergeNode(Acceleration):
    """Autograd's own chain would copy the gradient of a weight, as large as the weight."""

    does: ClassVar[str] = "large adapters are merged by one node of the graph"

    @classmethod
    def declines(cls, step: Step, training: Training) -> str | None:
        """See `Acceleration.declines`."""
        spaces = _spaces(step)
        if not spaces:
            return "the weight space has no adapters"
        if not any(space.largest >= LARGE for space in spaces):
            return f"no adapted weight has {LARGE:,} elements or more"
        return None

    def __init__(self, step: Step, training: Training) -> None:
        for space in _spaces(step):
            space.merge = merged_by_node


def _spaces(step: Step) -> list[LowRankSpace]:
    """The space of a model, or the parts of it where it is sharded by layer."""
    return [space for space in step.model.space.modules() if isinstance(space, LowRankSpace)]
