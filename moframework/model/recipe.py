"""`Recipe`: what a model is made of, before it has weights."""

from __future__ import annotations

from attrs import field, frozen
from torch import nn

from moframework.backbones.base import Backbone
from moframework.inputs.form import InputForm, InputShape, as_form
from moframework.weights import WeightSpaceConfig

__all__ = ["Recipe"]


@frozen(kw_only=True)
class Recipe:
    """All that is needed to build a model anew, without the problem or its data.

    Attributes:
        tasks: names of the objectives.
        inputs: form of the inputs, given as `input_shape`: a form, or the shape alone of floating-point inputs. A model
            and what it saves say how the network is called; see `inputs.calling.HowToCall`.
        outputs: width of each output.
    """

    tasks: tuple[str, ...]
    backbone: Backbone
    inputs: InputForm = field(alias="input_shape", converter=as_form)
    outputs: dict[str, int]
    weights: WeightSpaceConfig

    @property
    def input_shape(self) -> InputShape:
        """Shape of one input, or of each tensor of it."""
        return self.inputs.shape

    def make(self) -> nn.Module:
        """One freshly initialized network: the backbone, with what the weight space puts around it."""
        return self.weights.network(
            lambda shape: self.backbone.built(shape, self.outputs), self.inputs, len(self.tasks)
        )
