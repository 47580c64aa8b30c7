"""Compiled networks: the same gradients, and what cannot be compiled is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from moframework import ParetoModel, solve
from moframework.backbones.base import Backbone
from moframework.backbones.lenet import LeNet
from moframework.errors import SpecError
from moframework.model import Recipe
from moframework.weights import WeightSpaceConfig
from moframework.weights.conditioned import Conditioned
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.low_rank import LowRank


def model(weights: WeightSpaceConfig, backbone: Backbone | None = None) -> ParetoModel:
    recipe = Recipe(
        tasks=("a", "b"),
        backbone=backbone or LeNet(channels=(2,), hidden=4),
        input_shape=(1, 12, 12),
        outputs={"a": 3, "b": 2},
        weights=weights,
    )
    return ParetoModel(recipe).train()


@pytest.mark.parametrize("weights", [LowRank(), ConvexHull(), Conditioned()], ids=lambda w: type(w).__name__)
def test_gradients_are_the_same(weights: WeightSpaceConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tracing and the graph of gradients are those of any backend; compiling the kernels takes too long here.
    traced = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, mode=None: traced(f, backend="aot_eager"))
    made = model(weights)
    x, at = torch.randn(5, 1, 12, 12), torch.tensor([0.2, 0.8])
    found = []
    for compiled in (False, True):
        if compiled:
            made.compile_network()
        made.zero_grad()
        torch.stack([output.square().sum() for output in made(x, at).values()]).sum().backward()
        found.append({name: p.grad.clone() for name, p in made.named_parameters() if p.grad is not None})
    torch.testing.assert_close(found[0], found[1])
    assert made.eval()(x, at)["a"].shape == (5, 3)


def test_recurrent_networks_are_refused() -> None:
    class Recurrent(Backbone):
        def build(self, input_shape: tuple[int, ...], outputs: object) -> nn.Module:
            return nn.GRU(12, 3)

    made = model(ConvexHull(), Recurrent())
    with pytest.raises(SpecError, match=r"training\.compile: networks with recurrent layers"):
        made.compile_network()


def test_a_run_says_what_compiling_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traced = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, mode=None: traced(f, backend="aot_eager"))
    spec = {
        "problem": {"name": "digits", "train": 64, "val": 16, "test": 16},
        "solver": "palora",
        "training": {"steps": 2, "batch_size": 32, "compile": True},
    }
    summary = solve(spec, tmp_path / "run").summary()
    assert summary["compile_seconds"] > 0
    assert summary["training_seconds"] < summary["compile_seconds"]
