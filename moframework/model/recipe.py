"""`Recipe`: what a model is made of, before it has weights."""

from __future__ import annotations

from attrs import frozen
from torch import nn

from moframework.backbones.base import Backbone
from moframework.backbones.lazy import materialized
from moframework.weights import WeightSpaceConfig

__all__ = ["Recipe"]


@frozen(kw_only=True)
class Recipe:
    """All that is needed to build a model anew, without the problem or its data."""

    tasks: tuple[str, ...]
    backbone: Backbone
    input_shape: tuple[int, ...]
    outputs: dict[str, int]
    weights: WeightSpaceConfig

    def make(self) -> nn.Module:
        """One freshly initialized network: the backbone, with what the weight space puts around it."""
        return self.weights.network(
            lambda shape: materialized(self.backbone.build(shape, self.outputs), shape),
            self.input_shape,
            len(self.tasks),
        )
