"""Large low-rank weights applied to what their layer reads, where that costs less than merging (`layers.low_rank`).

Which way is cheaper each layer tells from the shape of its input. Whatever reads such a weight otherwise (a custom
`autograd.Function`, a kernel, a hook) gets the merged weight, and its gradient goes on to W0, B and A.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from moframework.engine.acceleration.base import Acceleration, AdaptedSpace
from moframework.engine.settings import Training
from moframework.engine.step import Step
from moframework.layers.low_rank import Adapted, adapted_weight
from moframework.layers.merge import LARGE, merged_by_node

__all__ = ["AdapterLayers"]


class AdapterLayers(Acceleration):
    """θ(λ) with lazy tensors in the place of large adapted weights of linear layers and convolutions."""

    does: ClassVar[str] = "large adapters are applied instead of merged, where that costs less"

    @classmethod
    def declines(cls, step: Step, training: Training) -> str | None:
        """See `Acceleration.declines`."""
        if not isinstance(step.model.space, AdaptedSpace):
            return "the weight space has no adapters"
        if step.place.device.type != "cpu":
            return f"it is measured on the CPU only, and the device is {step.place.device}"
        if step.per_task:
            return "gradients of single tasks are needed, over merged weights"
        if training.compile:
            return "training.compile makes θ(λ)"
        if not _large(step.model.space, len(step.tasks)):
            return f"no adapted weight has {LARGE:,} elements or more"
        return None

    def __init__(self, step: Step, training: Training) -> None:
        assert isinstance(step.model.space, AdaptedSpace), "asked before"
        self.space = step.model.space
        self.large = _large(step.model.space, len(step.tasks))
        step.weights = self

    def __call__(self, preferences: Tensor) -> list[dict[str, Tensor]]:
        """See `Step.weights`."""
        shared = self.space.unadapted()
        thetas = [dict(shared) for _ in range(len(preferences))]
        for adapter, base, b, a, factors in self.space.adapters(preferences):
            if adapter.name in self.large:
                columns = torch.split(factors.t(), 1, dim=1)
                values = tuple(adapted_weight(Adapted(base, b, a, each, adapter.order)) for each in columns)
            else:
                values = merged_by_node(base, b, a, factors, adapter.order)
            for theta, value in zip(thetas, values, strict=True):
                theta[adapter.name] = value
        return thetas


def _large(space: AdaptedSpace, m: int) -> set[str]:
    """Names of the weights that are worth it: choosing costs more than it saves for smaller ones."""
    adapters = [each[0] for each in space.adapters(torch.full((1, m), 1 / m))]
    return {each.name for each in adapters if each.applies and each.shape.numel() >= LARGE}
