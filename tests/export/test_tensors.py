"""Weights by name: state dicts, sums of the tasks' sets, and what conditioned networks join."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, load_model
from torch import nn

from moframework.errors import RunError
from moframework.export import export_model
from tests.export.networks import inputs, made
from tests.model.networks import OddNet, model

LAMBDA = torch.tensor([0.85, 0.15])


@pytest.mark.parametrize("space", ["low_rank", "hypernetwork", "finite"])
def test_a_state_dict_has_the_networks_own_names(space: str, tmp_path: Path) -> None:
    one, preference = made(space, "conv"), torch.tensor([0.0, 1.0])
    export_model(one, tmp_path / "m.safetensors", preference)
    network = one.recipe.backbone.built((1, 9, 8), one.recipe.outputs)
    network.load_state_dict(load_file(tmp_path / "m.safetensors"))
    x = inputs("conv", 4)
    for key, value in network.eval()(x).items():
        torch.testing.assert_close(value, one(x, preference)[key], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("space", ["low_rank", "separable", "convex_hull"])
def test_the_dial_is_a_sum_of_the_tasks_weights(space: str, tmp_path: Path) -> None:
    one = made(space, "conv")
    export_model(one, tmp_path / "m.safetensors")
    stored = load_file(tmp_path / "m.safetensors")
    own = [name.removeprefix("left/") for name in stored if name.startswith("left/")]
    state = {name: sum(w * stored[f"{t}/{name}"] for t, w in zip(one.tasks, LAMBDA, strict=True)) for name in own}
    state |= {name: value for name, value in stored.items() if "/" not in name}
    expected = one.at(LAMBDA).state_dict()
    assert set(state) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(torch.as_tensor(state[name]), value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("space", ["hypernetwork", "chunked_hypernetwork", "conditioned"])
def test_what_is_no_sum_is_refused(space: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no weighted sum of one set for each task.*--to NAME\.pt2 or NAME\.onnx"):
        export_model(made(space, "mlp"), tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_what_joins_the_inputs_of_a_conditioned_network_is_in_the_file(network: str, tmp_path: Path) -> None:
    one, x = made("conditioned", network), inputs(network, 4)
    export_model(one, tmp_path / "m.safetensors", LAMBDA)
    shape = x.shape[1:]
    plain = one.recipe.backbone.built((shape[0] + 2, *shape[1:]), one.recipe.outputs)
    state = load_file(tmp_path / "m.safetensors")
    joined = state.pop("joined_preference")
    plain.load_state_dict(state)
    if network == "conv":
        joined = nn.functional.interpolate(joined, size=x.shape[-2:])
    found = plain.eval()(torch.cat([x, joined.expand(len(x), *joined.shape[1:])], dim=1))
    for key, value in one(x, LAMBDA).items():
        torch.testing.assert_close(found[key], value, rtol=1e-5, atol=1e-5)


def test_tied_weights_are_there_once(tmp_path: Path) -> None:
    one = model(backbone=OddNet(), input_shape=(4,), outputs={"left": 4, "right": 4})
    for preference in (None, LAMBDA):
        export_model(one, tmp_path / "m.safetensors", preference, overwrite=True)
    plain = one.recipe.make()
    load_model(plain.eval(), tmp_path / "m.safetensors")
    x = torch.randn(3, 4)
    torch.testing.assert_close(plain(x)[1], one(x, LAMBDA)["right"])
