"""Models of small networks: LeNet, one with ties and frozen parts, one with BatchNorm, a recurrent one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from moframework import ParetoModel
from moframework.backbones.base import Backbone
from moframework.backbones.lenet import LeNet
from moframework.config import config
from moframework.model import Recipe
from moframework.weights import WeightSpaceConfig
from moframework.weights.finite import Finite
from moframework.weights.low_rank import LowRank


def recipe(weights: WeightSpaceConfig | None = None, backbone: Backbone | None = None, **changes: Any) -> Recipe:
    parts: dict[str, Any] = {
        "tasks": ("left", "right"),
        "backbone": LeNet() if backbone is None else backbone,
        "input_shape": (1, 20, 20),
        "outputs": {"left": 10, "right": 10},
        "weights": LowRank(rank=1) if weights is None else weights,
    }
    return Recipe(**{**parts, **changes})


def model(*args: Any, **changes: Any) -> ParetoModel:
    made = ParetoModel(recipe(*args, **changes))
    with torch.no_grad():
        for parameter in made.space.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made.eval()


class Odd(nn.Module):
    """Tied weights, buffers, a frozen parameter, a module without parameters, and a tuple of outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5)
        self.second = nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight
        self.frozen = nn.Parameter(torch.ones(4), requires_grad=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.drop(self.norm(self.first(x))) * self.frozen
        return x, self.second(x)


@config
class OddNet(Backbone):
    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        return Odd()


ODD: dict[str, Any] = {"backbone": OddNet(), "input_shape": (4,), "outputs": {"left": 4, "right": 4}}


ANCHORS = Finite(anchors=((1.0, 0.0), (0.3, 0.7), (0.0, 1.0)))


@config
class NormNet(Backbone):
    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        return nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 4), nn.BatchNorm1d(4, momentum=0.3)
        )


NORM: dict[str, Any] = {"backbone": NormNet(), "input_shape": (4,), "outputs": {"left": 4}}


class First(nn.Module):
    """The outputs of an LSTM without its state."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.cell(x)[0]
        return result


@config
class LSTM(Backbone):
    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        return First()
