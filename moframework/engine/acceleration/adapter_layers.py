"""Large low-rank weights applied to what their layer reads, where that costs less than merging, or merged at less cost.

Which way is cheaper each layer tells from the shape of its input (`layers.lazy_weight`), on a CPU: on an accelerator
nothing has been measured. Whatever reads such a weight otherwise (a custom `autograd.Function`, a kernel, a hook) gets
the merged weight, and its gradient goes on to W0, B and A. Merging is one node of autograd's graph (`layers.merge`).
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from moframework.engine.acceleration.base import Acceleration
from moframework.engine.settings import Training
from moframework.engine.step import Step
from moframework.layers.lazy_weight import adapted_weight
from moframework.layers.low_rank import Adapted
from moframework.layers.merge import LARGE, by_row, merged_by_node
from moframework.weights.low_rank import AdapterSpace

__all__ = ["AdapterLayers"]


class AdapterLayers(Acceleration):
    """θ(λ) with lazy tensors in the place of large adapted weights of linear layers and convolutions."""

    does: ClassVar[str] = "large adapters are applied to what layers read, or merged by one node, as costs less"

    @classmethod
    def declines(cls, step: Step, training: Training) -> str | None:
        spaces = _spaces(step)
        if not spaces:
            return "the weight space has no adapters"
        if not any(adapter.shape.numel() >= LARGE for space in spaces for adapter in space.adapted):
            return f"no adapted weight has {LARGE:,} elements or more"
        return None

    def __init__(self, step: Step, training: Training) -> None:
        for each in _spaces(step):
            each.merge = merged_by_node
        space, on_cpu = step.model.space, step.place.device.type == "cpu"
        if (
            isinstance(space, AdapterSpace)
            and on_cpu
            and not (step.per_task or training.compile or training.accumulate > 1)
        ):
            self.space = space
            self.large = {one.name for one in space.adapted if one.applies and one.shape.numel() >= LARGE}
            step.weights = self

    def __call__(self, preferences: Tensor) -> list[dict[str, Tensor]]:
        """See `Step.weights`."""
        shared = self.space.unadapted()
        thetas = [dict(shared) for _ in range(len(preferences))]
        for adapter, base, b, a, factors in self.space.adapters(preferences):
            if adapter.name in self.large:
                rows = by_row(b, a, factors)
                values = tuple(adapted_weight(Adapted(base, b, a, f.t(), adapter.order)) for b, a, f in rows)
            else:
                values = merged_by_node(base, b, a, factors, adapter.order)
            for theta, value in zip(thetas, values, strict=True):
                theta[adapter.name] = value if value.shape == adapter.shape else value.view(adapter.shape)
        return thetas


def _spaces(step: Step) -> list[AdapterSpace]:
    """The space of a model, or the parts of it where it is sharded by layer."""
    return [space for space in step.model.space.modules() if isinstance(space, AdapterSpace)]
