"""Every weight space and form: what is read back is the model, for any batch and preference."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from moframework import ParetoModel
from moframework.backbones.base import Backbone
from moframework.config import config
from moframework.errors import RunError
from moframework.export import export_model
from moframework.export.networks import Inputs
from moframework.export.tensors import State, save_state
from moframework.inputs import InputForm
from tests.export.networks import NETWORKS, SPACES, inputs, made
from tests.extras import needs_onnx
from tests.model.networks import model

LAMBDA = torch.tensor([0.85, 0.15])
CONTINUOUS = [space for space in SPACES if space != "finite"]

Run = Callable[..., dict[str, Tensor]]


def program(path: Path) -> Run:
    return torch.export.load(path).module()  # type: ignore[return-value]


def session(path: Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def by_onnx(path: Path) -> Run:
    own = session(path)
    names = [one.name for one in own.get_outputs()]

    def run(**given: Tensor) -> dict[str, Tensor]:
        results = own.run(names, {name: value.numpy() for name, value in given.items()})
        return {name: torch.from_numpy(result) for name, result in zip(names, results, strict=True)}

    return run


def given(x: Any) -> dict[str, Tensor]:
    return x if isinstance(x, dict) else {"input": x}


def check(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(found) == list(expected)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-5, atol=1e-5)


def keep_weights(one: ParetoModel, network: str) -> None:
    """Let the model have merged weights of another preference, which must not become part of a file."""
    with torch.no_grad():
        one(inputs(network, 4), [0.5, 0.5])
    assert one.kept._last is not None


PAIRS = [(space, network) for space in CONTINUOUS for network in ("mlp", "conv")]
PAIRS = [pair for pair in PAIRS if pair not in (("peft", "mlp"), ("separable", "mlp"))]  # forms of convolutions


@pytest.mark.parametrize(("space", "network"), PAIRS)
def test_a_program_with_the_dial(space: str, network: str, tmp_path: Path) -> None:
    one = made(space, network)
    keep_weights(one, network)
    result = export_model(one, tmp_path / "m.pt2")
    assert result.difference <= 1e-5
    run = program(tmp_path / "m.pt2")
    for count in (1, 2, 11):
        x = inputs(network, count)
        check(run(**given(x), preference=LAMBDA), one(x, LAMBDA))
    check(run(**given(x), preference=3 * LAMBDA), one(x, LAMBDA))
    assert not torch.allclose(one(x, LAMBDA)["left"], one(x, [0.5, 0.5])["left"], atol=1e-3), "it does depend on λ"


@needs_onnx
@pytest.mark.parametrize(("space", "network"), PAIRS)
def test_an_onnx_file_with_the_dial(space: str, network: str, tmp_path: Path) -> None:
    one = made(space, network)
    keep_weights(one, network)
    export_model(one, tmp_path / "m.onnx")
    run = by_onnx(tmp_path / "m.onnx")
    for count in (1, 5):
        x = inputs(network, count)
        check(run(**given(x), preference=LAMBDA), one(x, LAMBDA))
    own = session(tmp_path / "m.onnx")
    read = {one.name: one.shape for one in own.get_inputs()}
    assert read == {"input": ["batch", *NETWORKS[network]["input_shape"]], "preference": [2]}
    assert {one.name: one.shape for one in own.get_outputs()} == {"left": ["batch", 3], "right": ["batch", 1]}
    assert not (tmp_path / "m.onnx.data").exists()


@needs_onnx
@pytest.mark.parametrize(("space", "end"), [("conditioned", "onnx"), ("finite", "pt2")])
def test_a_plain_network(space: str, end: str, tmp_path: Path) -> None:
    one, preference = made(space, "conv"), torch.tensor([0.25, 0.75])
    export_model(one, tmp_path / f"m.{end}", preference)
    run = program(tmp_path / "m.pt2") if end == "pt2" else by_onnx(tmp_path / "m.onnx")
    x = inputs("conv", 5)
    check(run(input=x), one(x, preference))


@needs_onnx
@pytest.mark.parametrize("network", ["dict", "text"])
def test_named_inputs(network: str, tmp_path: Path) -> None:
    one = made("low_rank", network)
    export_model(one, tmp_path / "m.onnx")
    run = by_onnx(tmp_path / "m.onnx")
    for count, length in ((1, 1), (4, 7)):
        x = inputs(network, count, length)
        check(run(**x, preference=LAMBDA), one(x, LAMBDA))
    read = {one.name: one.shape for one in session(tmp_path / "m.onnx").get_inputs()}
    expected: dict[str, Any] = {"ids": ["batch", 3], "numbers": ["batch", 2], "preference": [2]}
    if network == "text":
        size = ["batch", "input_ids_1"]
        expected = {"input_ids": size, "attention_mask": size, "preference": [2]}
    assert read == expected


@needs_onnx
@pytest.mark.parametrize(
    ("space", "network", "end"),
    [("low_rank", "conv", "onnx"), ("convex_hull", "mlp", "onnx"), ("conditioned", "conv", "pt2")],
)
def test_a_preference_for_each_sample(space: str, network: str, end: str, tmp_path: Path) -> None:
    one = made(space, network)
    export_model(one, tmp_path / f"m.{end}", mixed=True)
    run = program(tmp_path / "m.pt2") if end == "pt2" else by_onnx(tmp_path / "m.onnx")
    for count in (1, 6):
        x, rows = inputs(network, count), torch.rand(count, 2) + 0.01
        check(run(**given(x), preference=rows), one(x, rows))


@pytest.mark.parametrize("space", ["low_rank", "conditioned"])
def test_the_model_is_what_it_was(space: str, tmp_path: Path) -> None:
    one, x = made(space, "conv"), inputs("conv", 3)
    before = {name: value.clone() for name, value in one.state_dict().items()}
    expected, own = one(x, LAMBDA), {name: vars(module).copy() for name, module in one.named_modules()}
    one.train()
    export_model(one, tmp_path / "m.pt2")
    assert one.training
    assert all(torch.equal(value, before[name]) for name, value in one.state_dict().items())
    one.eval()
    check(one(x, LAMBDA), expected)
    for name, module in one.named_modules():
        for key, value in own[name].items():
            assert key in ("training", "kept") or vars(module)[key] is value, f"{name}.{key}"
    one(x, LAMBDA)["left"].sum().backward()


def test_statistics_of_one_preference(tmp_path: Path) -> None:
    one = made("convex_hull", "conv")
    batches = [torch.randn(16, 1, 9, 8) + 1 for _ in range(2)]
    (own,) = one.batch_statistics(LAMBDA[None], batches)
    export_model(one, tmp_path / "m.pt2", LAMBDA, statistics=own)
    x = inputs("conv", 4)
    found = program(tmp_path / "m.pt2")(input=x)
    plain = one.at(LAMBDA, calibrate=batches).eval()
    check(found, plain(x))
    assert not torch.allclose(found["left"], one(x, LAMBDA)["left"], atol=1e-3)


def test_a_finite_set_has_no_dial(tmp_path: Path) -> None:
    one = made("finite", "mlp")
    with pytest.raises(RunError, match=r"a network for each of 3 preferences.*one of 1, 0; 0\.25, 0\.75; 0, 1"):
        export_model(one, tmp_path / "m.pt2")
    with pytest.raises(RunError, match=r"none at \(0\.5, 0\.5\)\. They are: 1, 0;"):
        export_model(one, tmp_path / "m.pt2", [1, 1])
    assert list(tmp_path.iterdir()) == []


class Length(nn.Module):
    """Code that makes the size of a batch a number."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        made = self.linear(x) + torch.zeros(len(x), 4)
        return made[:, :3], made[:, 3:]


class Fixed(Length):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        made = self.linear(x) + torch.zeros(int(x.shape[0]), 4) * float(torch.ones(3).sum() + x.sum() * 0)
        return made[:, :3], made[:, 3:]


@config
class LengthNet(Backbone):
    kind: str = "length"

    def build(self, input_shape: tuple[int, ...], outputs: Any) -> nn.Module:
        return Length() if self.kind == "length" else Fixed()


def test_a_size_that_code_reads_by_len_may_vary(tmp_path: Path) -> None:
    """`len(x)` is a constant where torch.export runs the code, but not where it reads it."""
    one = model(SPACES["low_rank"], LengthNet(), input_shape=(5,), outputs={"left": 3, "right": 1})
    export_model(one, tmp_path / "m.pt2")
    export_model(one, tmp_path / "point.pt2", LAMBDA)
    for count in (1, 8):
        x = torch.randn(count, 5)
        check(program(tmp_path / "m.pt2")(input=x, preference=LAMBDA), one(x, LAMBDA))
        check(program(tmp_path / "point.pt2")(input=x), one(x, LAMBDA))


def test_a_size_that_code_makes_a_constant_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = model(SPACES["low_rank"], LengthNet(), input_shape=(5,), outputs={"left": 3, "right": 1})
    of_torch = torch.export.export

    def unreadable(*given: Any, strict: bool, **options: Any) -> Any:
        if strict:
            raise RuntimeError("this code cannot be read")
        return of_torch(*given, strict=strict, **options)

    monkeypatch.setattr(torch.export, "export", unreadable)
    with pytest.raises(RunError, match=r"makes the size a constant: `len\(x\)`.*`x\.shape\[0\]`"):
        export_model(one, tmp_path / "m.pt2")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_told(tmp_path: Path) -> None:
    one = model(SPACES["low_rank"], LengthNet(kind="fixed"), input_shape=(5,), outputs={"left": 3, "right": 1})
    with pytest.raises(RunError, match=r"torch\.export cannot export this network .*--to NAME\.safetensors"):
        export_model(one, tmp_path / "m.pt2")
    assert list(tmp_path.iterdir()) == []


def test_a_difference_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(state: State, path: Path) -> None:
        first = next(iter(state.tensors))
        save_state(State({**state.tensors, first: state.tensors[first] + 1e-3}, state.tied), path)

    monkeypatch.setattr("moframework.export.exporting.save_state", other)
    for preference in (None, LAMBDA):
        with pytest.raises(RunError, match=r"output 'left' is not what the model gives: the difference is .*Nothing"):
            export_model(made("low_rank", "mlp"), tmp_path / "new" / "m.safetensors", preference)
    assert list(tmp_path.iterdir()) == []


class Narrow(nn.Module):
    """Weights of 16 bits; inputs and outputs as the problem has them."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 4, dtype=torch.bfloat16)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        made = self.linear(x.bfloat16())
        return made[:, :3], made[:, 3:].float()


@config
class NarrowNet(Backbone):
    def build(self, input_shape: tuple[int, ...], outputs: Any) -> nn.Module:
        return Narrow()


@needs_onnx
def test_sixteen_bits(tmp_path: Path) -> None:
    form = InputForm.of_batch(torch.zeros(1, 5, dtype=torch.bfloat16))
    narrow = model(SPACES["low_rank"], NarrowNet(), input_shape=form, outputs={"left": 3, "right": 1})
    export_model(narrow, tmp_path / "narrow.pt2")
    x = torch.randn(4, 5).bfloat16()
    found = program(tmp_path / "narrow.pt2")(input=x, preference=LAMBDA)
    assert found["left"].dtype == torch.bfloat16
    torch.testing.assert_close(found["left"], narrow(x, LAMBDA)["left"])
    before = set(tmp_path.iterdir())
    with pytest.raises(RunError, match=r"the input input is bfloat16, which onnxruntime does not take.*model\.float"):
        export_model(narrow, tmp_path / "narrow.onnx")
    with pytest.raises(RunError, match=r"the model itself fails on inputs of its form, \(5,\) float32"):
        export_model(made("low_rank", "mlp").bfloat16(), tmp_path / "m.pt2")
    assert set(tmp_path.iterdir()) == before


def test_files_are_not_silently_replaced(tmp_path: Path) -> None:
    one = made("low_rank", "mlp")
    export_model(one, tmp_path / "m.safetensors", [1, 0])
    before = (tmp_path / "m.safetensors").read_bytes()
    with pytest.raises(RunError, match=r"m\.safetensors exists\. Choose another name, or replace it with --overwrite"):
        export_model(one, tmp_path / "m.safetensors", [0, 1])
    assert (tmp_path / "m.safetensors").read_bytes() == before
    export_model(one, tmp_path / "m.safetensors", [0, 1], overwrite=True)
    assert (tmp_path / "m.safetensors").read_bytes() != before
    names = {"m.safetensors", "m.safetensors.md", "m.safetensors.card.json", "m.safetensors.preparation.json"}
    assert {path.name for path in tmp_path.iterdir()} == names


@pytest.mark.parametrize(
    ("to", "options", "words"),
    [
        ("m.pth", {}, r"says no form of export: let it end in \.safetensors"),
        ("m.pt2", {"preference": [1, 0], "mixed": True}, "not both"),
        ("m.safetensors", {"mixed": True}, r"input of a program: take --to NAME\.pt2"),
        ("folder", {"preference": [1, 0]}, "keep the dial: export them without a preference"),
    ],
)
def test_what_does_not_go_together(to: str, options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=words):
        export_model(made("low_rank", "mlp"), tmp_path / to, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"m\.pt2 cannot be written: .*Nothing is kept"):
        export_model(made("low_rank", "mlp"), tmp_path / "file" / "m.pt2")
    (tmp_path / "m.pt2.md").mkdir()
    with pytest.raises(RunError, match=r"m\.pt2\.md is a folder, where a file would have to be"):
        export_model(made("low_rank", "mlp"), tmp_path / "m.pt2", overwrite=True)


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moframework.export.targets.find_spec", lambda name: None)
    for to, words in (
        ("m.onnx", r"onnx, onnxruntime, onnxscript.*moframework\[onnx\]"),
        ("m", r"peft.*mework\[peft\]"),
    ):
        with pytest.raises(RunError, match=words):
            export_model(made("low_rank", "mlp"), tmp_path / to)


def test_mixing_needs_one_pass(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"one pass for each: its weights are no combination of a few \(Hypernet"):
        export_model(made("hypernetwork", "mlp"), tmp_path / "m.pt2", mixed=True)


@needs_onnx
def test_weights_that_are_too_large_lie_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moframework.export.onnx_file.ONE_FILE", 0)
    one, x = made("convex_hull", "conv"), inputs("conv", 4)
    result = export_model(one, tmp_path / "m.onnx", LAMBDA)
    assert tmp_path / "m.onnx.data" in result.files
    shutil.move(tmp_path, tmp_path.with_name("elsewhere"))
    moved = tmp_path.with_name("elsewhere") / "m.onnx"
    check(by_onnx(moved)(input=x), one(x, LAMBDA))
    monkeypatch.undo()
    export_model(one, moved, LAMBDA, overwrite=True)
    assert not moved.with_name("m.onnx.data").exists()


def test_names_of_inputs() -> None:
    form = model(SPACES["low_rank"], **NETWORKS["dict"]).recipe.inputs
    assert Inputs.of(form).names == ("ids", "numbers")


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "moframework":
            raise ImportError("moframework must not be needed")
sys.meta_path.insert(0, Blocked())
"""


@needs_onnx
def test_the_code_of_a_card_runs_without_moframework(tmp_path: Path) -> None:
    one: ParetoModel = made("low_rank", "text")
    code = BLOCKED
    for name in ("m.pt2", "m.onnx"):
        export_model(one, tmp_path / name)
        text = (tmp_path / f"{name}.md").read_text()
        assert f"`{name}.preparation.json` has what turns raw data into these inputs" in text
        (found,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
        assert len(found.strip().splitlines()) <= 6
        code += found
    x = inputs("text", 4, 6)
    save_file(
        {"preference": LAMBDA, **x, **{f"=={k}": v for k, v in one(x, LAMBDA).items()}}, tmp_path / "x.safetensors"
    )
    code += """
from safetensors.torch import load_file
x = load_file("x.safetensors")
expected = {key[2:]: x.pop(key) for key in list(x) if key.startswith("==")}
found = torch.export.load("m.pt2").module()(**x)
session = onnxruntime.InferenceSession("m.onnx")
other = session.run(list(expected), {key: value.numpy() for key, value in x.items()})
for (key, value), by_onnx in zip(expected.items(), other, strict=True):
    torch.testing.assert_close(found[key], value, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.from_numpy(by_onnx), value, rtol=1e-5, atol=1e-5)
print("the same")
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.rstrip().endswith("the same"), done.stderr
    told = json.loads((tmp_path / "m.onnx.card.json").read_text())
    assert told["verified"]["largest_difference"] <= 1e-5
    assert told["inputs"]["preference"] == {"shape": [2], "dtype": "float32"}
    assert told["inputs"]["attention_mask"] == {"shape": ["batch", None], "dtype": "bool"}
