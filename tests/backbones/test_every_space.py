"""Every backbone with every weight space: trained, used, saved, and frozen in part, at tiny sizes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from moframework import ParetoModel
from moframework.backbones.base import Backbone
from moframework.config import build
from moframework.model import Recipe
from moframework.weights import WeightSpaceConfig
from moframework.weights.chunked_hypernetwork import ChunkedHypernetwork
from moframework.weights.conditioned import Conditioned
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.finite import Finite
from moframework.weights.hypernetwork import Hypernetwork
from moframework.weights.low_rank import LowRank

LAMBDAS = torch.tensor([[0.8, 0.2], [0.1, 0.9]])

SPACES: dict[str, WeightSpaceConfig] = {
    "low rank": LowRank(rank=1),
    "convex hull": ConvexHull(),
    "hypernetwork": Hypernetwork(hidden=(8,)),
    "chunked hypernetwork": ChunkedHypernetwork(hidden=(8,), chunk=4096, embedding=3),
    "conditioned": Conditioned(),
    "finite": Finite(anchors=tuple(map(tuple, LAMBDAS.tolist()))),
}

BACKBONES = {
    "lenet": ({"name": "lenet", "channels": [4, 6], "hidden": 16}, 16),
    "mlp": ({"name": "mlp", "hidden": [8]}, 8),
    "segnet": ({"name": "segnet", "width": 2, "stages": 2}, 8),
    "segnet_mtan": ({"name": "segnet_mtan", "width": 2, "stages": 2}, 8),
    "resnet": ({"name": "resnet", "stem": "small"}, 16),
    "deeplabv3": ({"name": "deeplabv3", "depth": 18, "width": 4}, 16),
    "vit": ({"name": "vit", "width": 8, "depth": 2, "heads": 2, "patch": 4}, 8),
    "torchvision": ({"name": "torchvision", "model": "mobilenet_v3_small"}, 32),
    "timm": ({"name": "timm", "model": "test_vit"}, 32),
}

# Eleven million parameters, which take their time to draw.
LARGE = {"resnet": {"low rank", "convex hull", "chunked hypernetwork", "conditioned"}, "deeplabv3": {"low rank"}}

PAIRS = [
    pytest.param(backbone, space, id=f"{backbone} · {space}")
    for backbone in BACKBONES
    for space in SPACES
    if space in LARGE.get(backbone, SPACES)
]


def made(backbone: str, space: str, **more: object) -> tuple[ParetoModel, Tensor]:
    options, side = BACKBONES[backbone]
    if backbone == "timm":
        pytest.importorskip("timm")
    recipe = Recipe(
        tasks=("one", "two"),
        backbone=build(Backbone, {**options, **more}),  # type: ignore[type-abstract]
        input_shape=(3, side, side),
        outputs={"one": 2, "two": 1},
        weights=SPACES[space],
    )
    torch.manual_seed(1)  # some draws leave no unit alive behind the first ReLU of the few that there are
    model = ParetoModel(recipe)
    with torch.no_grad():  # away from the start, where all preferences may give the same network
        for parameter in model.space.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn_like(parameter))
    return model, torch.randn(3, 3, side, side)


@pytest.mark.parametrize(("backbone", "space"), PAIRS)
def test_trained_used_and_merged(backbone: str, space: str) -> None:
    model, x = made(backbone, space)
    model.train()
    for preference in LAMBDAS:
        sum(output.square().mean() for output in model(x, preference).values()).backward()  # type: ignore[union-attr]
    missed = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert missed == []
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
    model.eval()
    with torch.no_grad():  # attention takes another path of torch's than with gradients
        outputs = [model(x, preference) for preference in LAMBDAS]
        for preference, output in zip(LAMBDAS, outputs, strict=True):
            merged = model.at(preference)(x)
            for key, value in output.items():
                torch.testing.assert_close(merged[key], value, rtol=1e-3, atol=1e-4)
    with_gradients = model(x, LAMBDAS[0])
    for key, value in outputs[0].items():
        assert not torch.equal(value, outputs[1][key]), key
        torch.testing.assert_close(with_gradients[key].detach(), value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("backbone", ["lenet", "segnet", "segnet_mtan", "vit"])
def test_a_frozen_encoder_is_one_for_all_preferences_and_stays(backbone: str, space: str, tmp_path: Path) -> None:
    model, x = made(backbone, space, freeze="encoder")
    model.train()
    prefix = "network.encoder." if space == "conditioned" else "encoder."
    frozen = {name: value.clone() for name, value in model.weights(LAMBDAS[0]).items() if name.startswith(prefix)}
    buffers = {name: value.clone() for name, value in model.skeleton.named_buffers() if name.startswith(prefix)}
    assert frozen
    groups = model.space.parameter_groups(0.1)
    optimizer = torch.optim.SGD(groups)
    assert all(p.requires_grad for group in groups for p in group["params"])
    for preference in LAMBDAS:
        sum(output.square().mean() for output in model(x, preference).values()).backward()  # type: ignore[union-attr]
    before = {name: value.clone() for name, value in model.weights(LAMBDAS[0]).items() if name not in frozen}
    optimizer.step()
    for preference in LAMBDAS:
        after = model.weights(preference)
        for name, value in frozen.items():
            assert torch.equal(after[name], value), name
            assert not after[name].requires_grad, name
    assert all(torch.equal(value, buffers[name]) for name, value in model.skeleton.named_buffers() if name in buffers)
    moved = model.weights(LAMBDAS[0])
    assert any(not torch.equal(moved[name], value) for name, value in before.items())
    stored = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    assert stored == sum(value.numel() for name, value in frozen.items() if name in model.network.trainable)
    model.save(tmp_path)
    again = ParetoModel.load(tmp_path)
    assert again.recipe == model.recipe
    assert torch.equal(again(x, LAMBDAS[1])["one"], model.eval()(x, LAMBDAS[1])["one"])
