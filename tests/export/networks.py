"""Small models to export: an MLP, a convolutional network with BatchNorm, one with named inputs of two kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from moframework import ParetoModel
from moframework.backbones.base import Backbone, Heads, Shared, linear_heads
from moframework.backbones.mlp import MLP
from moframework.backbones.text_transformer import TextTransformer
from moframework.config import config
from moframework.inputs import InputForm
from moframework.weights.chunked_hypernetwork import ChunkedHypernetwork
from moframework.weights.conditioned import Conditioned
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.finite import Finite
from moframework.weights.hypernetwork import Hypernetwork
from moframework.weights.low_rank import LowRank
from tests.model.networks import model

SPACES = {
    "low_rank": LowRank(rank=2),
    "separable": LowRank(rank=2, conv="separable"),
    "peft": LowRank(rank=2, conv="peft", alpha=3.0),
    "convex_hull": ConvexHull(),
    "hypernetwork": Hypernetwork(hidden=(3, 3)),
    "chunked_hypernetwork": ChunkedHypernetwork(hidden=(3, 3), chunk=64, embedding=2),
    "conditioned": Conditioned(),
    "finite": Finite(anchors=((1.0, 0.0), (0.25, 0.75), (0.0, 1.0))),
}


@config
class ConvNet(Backbone):
    """Two convolutions with BatchNorm, pooled."""

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        encoder = nn.Sequential(
            nn.Conv2d(input_shape[0], 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 3, stride=2),
            nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )  # fmt: skip
        return Shared(encoder, linear_heads(4, (), outputs))


class Reads(nn.Module):
    """Ids and numbers, in a dict and by keyword, to one output each."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 4)
        self.heads = Heads({"left": nn.Linear(6, 3), "right": nn.Linear(6, 1)})

    def forward(self, ids: Tensor, numbers: Tensor) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = self.heads(torch.cat([self.table(ids).mean(dim=1), numbers], dim=1))
        return outputs


@config
class ReadsNet(Backbone):
    takes_trees = True

    def build(self, input_shape: Any, outputs: Mapping[str, int]) -> nn.Module:
        return Reads()


NETWORKS: dict[str, dict[str, Any]] = {
    "mlp": {"backbone": MLP(hidden=(6,)), "input_shape": (5,), "outputs": {"left": 3, "right": 1}},
    "conv": {"backbone": ConvNet(), "input_shape": (1, 9, 8), "outputs": {"left": 3, "right": 1}},
    "dict": {
        "backbone": ReadsNet(),
        "input_shape": InputForm.of_batch({"ids": torch.zeros(1, 3).long(), "numbers": torch.zeros(1, 2)}),
        "outputs": {"left": 3, "right": 1},
    },
    "text": {
        "backbone": TextTransformer(vocabulary=40, length=12, width=8, depth=1, heads=2),
        "input_shape": InputForm.of_batch(
            {"input_ids": torch.zeros(1, 3).long(), "attention_mask": torch.zeros(1, 3).bool()},
            {"input_ids": (None,), "attention_mask": (None,)},
        ),
        "outputs": {"left": 3, "right": 1},
    },
}


def made(space: str, network: str) -> ParetoModel:
    """A model with weights that depend on λ, and statistics of its own."""
    torch.manual_seed(7)
    found = model(SPACES[space], **NETWORKS[network])
    with torch.no_grad():
        for parameter in found.space.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    for value in found.running_statistics():
        value.copy_(torch.rand_like(value) + 0.5)
    return found


def inputs(network: str, count: int, length: int = 3) -> Any:
    """Inputs of so many samples."""
    if network == "dict":
        return {"ids": torch.randint(9, (count, 3)), "numbers": torch.randn(count, 2)}
    if network == "text":
        return {"input_ids": torch.randint(40, (count, length)), "attention_mask": torch.rand(count, length) > 0.3}
    return torch.randn(count, *NETWORKS[network]["input_shape"])
