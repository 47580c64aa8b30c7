"""Adapters of PEFT to start from: written by hand as PEFT writes them, and by PEFT itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from moframework.errors import DataError
from moframework.model import ParetoModel, load_initial
from moframework.model.adapters import read_adapter
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.low_rank import LowRank
from tests.export.networks import NETWORKS, inputs
from tests.extras import needs_peft
from tests.model.networks import recipe

LAMBDA = [0.85, 0.15]
SHAPES = {"encoder.1": (6, 5), "heads.to_left": (3, 6)}


def write(folder: Path, rank: int = 2, options: dict[str, Any] | None = None, **shapes: tuple[int, int]) -> None:
    """An adapter of two linear layers, of the network `mlp`."""
    folder.mkdir(parents=True)
    told = {"peft_type": "LORA", "r": rank, "lora_alpha": 6, "use_dora": False, "bias": "none", **(options or {})}
    (folder / "adapter_config.json").write_text(json.dumps(told))
    tensors = {}
    for name, (rows, columns) in (shapes or SHAPES).items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = torch.randn(rank, columns)
        tensors[f"base_model.model.{name}.lora_B.weight"] = torch.randn(rows, rank)
    save_file(tensors, folder / "adapter_model.safetensors")


def network() -> nn.Module:
    torch.manual_seed(3)
    return recipe(**NETWORKS["mlp"]).make()


def test_one_adapter_is_added_to_the_network(tmp_path: Path) -> None:
    write(tmp_path / "one", options={"alpha_pattern": {"to_left": 4}, "use_rslora": True})
    base = network()
    found = load_initial(tmp_path / "one", base)
    from safetensors.torch import load_file

    stored = load_file(tmp_path / "one" / "adapter_model.safetensors")
    for name, alpha in (("encoder.1", 6), ("heads.to_left", 4)):
        a, b = (stored[f"base_model.model.{name}.lora_{letter}.weight"] for letter in "AB")
        expected = base.state_dict()[f"{name}.weight"] + alpha / 2**0.5 * b @ a
        torch.testing.assert_close(found.state[f"{name}.weight"], expected)
    assert found.adapters == {}
    save_file({name: value + 1 for name, value in base.state_dict().items()}, tmp_path / "base.safetensors")
    other = load_initial(tmp_path / "one", base)
    torch.testing.assert_close(other.state["encoder.1.weight"], found.state["encoder.1.weight"] + 1)


def test_what_is_saved_whole_takes_the_place_of_the_networks(tmp_path: Path) -> None:
    write(tmp_path / "left", options={"bias": "all", "modules_to_save": ["to_right"], "fan_in_fan_out": False})
    from safetensors.torch import load_file

    file = tmp_path / "left" / "adapter_model.safetensors"
    saved = {"heads.to_right.weight": torch.randn(1, 6), "encoder.1.base_layer.bias": torch.randn(6)}
    save_file({**load_file(file), **{f"base_model.model.{name}": value for name, value in saved.items()}}, file)
    base = network()
    found = load_initial(tmp_path / "left", base).state
    assert torch.equal(found["heads.to_right.weight"], saved["heads.to_right.weight"])
    assert torch.equal(found["encoder.1.bias"], saved["encoder.1.base_layer.bias"])
    assert torch.equal(found["heads.to_left.bias"], base.state_dict()["heads.to_left.bias"])
    # For each task they cannot be: what adapters share is one.
    write(tmp_path / "right")
    with pytest.raises(DataError, match=r"left saves heads\.to_right\.weight whole, which is one for all tasks"):
        load_initial(tmp_path, base).model(recipe(LowRank(rank=2), **NETWORKS["mlp"]))


def test_fan_in_fan_out_is_the_transpose(tmp_path: Path) -> None:
    write(tmp_path / "plain")
    write(tmp_path / "turned", options={"fan_in_fan_out": True})
    plain, turned = (read_adapter(tmp_path / name).factors["encoder.1.weight"] for name in ("plain", "turned"))
    zeros = torch.zeros(6, 5)
    torch.testing.assert_close(plain.added(zeros), (plain.scale * plain.b @ plain.a).float())
    torch.testing.assert_close(turned.added(zeros.T), (turned.scale * turned.b @ turned.a).T.float())


@pytest.mark.parametrize("rank", [2, 3])
def test_an_adapter_for_each_task(rank: int, tmp_path: Path) -> None:
    for task in ("left", "right"):
        write(tmp_path / task)
    base = network()
    made = load_initial(tmp_path, base).model(recipe(LowRank(rank=rank, alpha=0.5), **NETWORKS["mlp"])).eval()
    merged = {task: load_initial(tmp_path / task, base).state for task in made.tasks}
    theta = made.weights(torch.tensor(LAMBDA))
    for name, value in theta.items():
        expected = 0.85 * merged["left"][name] + 0.15 * merged["right"][name]
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5)


def test_what_cannot_be_used_is_told(tmp_path: Path) -> None:
    base, low = network(), recipe(LowRank(rank=1), **NETWORKS["mlp"])
    write(tmp_path / "more", options={"use_dora": True, "lora_bias": True, "modules_to_save": ["head"]})
    with pytest.raises(DataError, match=r"\(use_dora: true, lora_bias: true\).*merge_and_unload"):
        load_initial(tmp_path / "more", base)
    write(tmp_path / "ia3", options={"peft_type": "IA3"})
    with pytest.raises(DataError, match="of PEFT's kind IA3; those of LoRA can be used"):
        load_initial(tmp_path / "ia3", base)
    write(tmp_path / "other", **{"encoder.1": (6, 4), "body": (2, 2)})
    with pytest.raises(DataError, match=r"body\.weight is not in the net.*encoder\.1\.weight: an adapter of \(6, 4\)"):
        load_initial(tmp_path / "other", base)
    write(tmp_path / "one")
    file = tmp_path / "one" / "adapter_model.safetensors"
    for key, said in (("base_model.model.encoder.1.lora_C", "is no factor"), ("encoder.1.bias", "is no factor")):
        save_file({key: torch.zeros(2)}, file)
        with pytest.raises(DataError, match=said):
            load_initial(tmp_path / "one", base)
    save_file(
        {"base_model.model.encoder.1.bias": torch.zeros(2), "base_model.model.encodr.1.bias": torch.zeros(6)}, file
    )
    with pytest.raises(
        DataError, match=r"1\.bias has shape \(2,\), the network's is \(6,\).*\(it has encoder\.1\.bias\)"
    ):
        load_initial(tmp_path / "one", base)
    (tmp_path / "more" / "adapter_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match="holds no adapter that can be read"):
        load_initial(tmp_path / "more", base)
    write(tmp_path / "set" / "left")
    with pytest.raises(DataError, match=r"adapters called left, but the tasks are left, right"):
        load_initial(tmp_path / "set", base).model(low)
    write(tmp_path / "set" / "right", **{"encoder.1": (6, 4)})
    with pytest.raises(DataError, match=r"left: encoder\.1\.weight has rank 2: set solver\.rank: 2 or more"):
        load_initial(tmp_path / "set", base).model(low)
    with pytest.raises(DataError, match=r"for a solver with low-rank adapters \(palora, lorpman\), which ConvexHull"):
        load_initial(tmp_path / "set", base).model(recipe(ConvexHull(), **NETWORKS["mlp"]))


@needs_peft
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["mlp", "conv", "text"])
def test_what_was_exported_comes_back(kind: str, tmp_path: Path) -> None:
    from moframework.export import export_model

    torch.manual_seed(5)
    one = ParetoModel(recipe(LowRank(rank=2, conv="peft", alpha=3.0), **NETWORKS[kind])).eval()
    with torch.no_grad():
        for parameter in one.space.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    export_model(one, tmp_path / "adapters")
    other = recipe(LowRank(rank=3, conv="peft"), **NETWORKS[kind])
    made, x = load_initial(tmp_path / "adapters", other.make()).model(other).eval(), inputs(kind, 4)
    for key, value in one(x, LAMBDA).items():
        torch.testing.assert_close(made(x, LAMBDA)[key], value, rtol=1e-4, atol=1e-5)


@needs_peft
@pytest.mark.filterwarnings("ignore")
def test_an_adapter_of_peft_itself(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    base = network()
    state = {name: value.clone() for name, value in base.state_dict().items()}
    adapted = get_peft_model(base, LoraConfig(r=2, lora_alpha=5, target_modules=["encoder.1", "to_right"]))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    adapted.save_pretrained(tmp_path / "one")
    x, plain = torch.randn(3, 5), network()
    plain.load_state_dict(state)
    plain.load_state_dict(load_initial(tmp_path / "one", plain).state)
    torch.testing.assert_close(plain(x)["right"], adapted.eval()(x)["right"], rtol=1e-5, atol=1e-5)
