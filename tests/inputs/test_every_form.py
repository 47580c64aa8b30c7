"""Inputs of every form through every part: what comes out is what one tensor of the same numbers gives, bit by bit."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moframework import ParetoModel, SpecError, check, solve
from moframework.errors import DataError, NonFiniteLossError, RunError
from moframework.inputs import InputForm, called
from tests.inputs.kinds import FORMS, HOW, inputs

OTHERS = [form for form in FORMS if form not in ("flat", "cosmos")]
SOLVERS: dict[str, dict[str, Any]] = {
    "palora": {"name": "palora", "preferences": {"per_batch": 2}},
    "pamal": {"name": "pamal"},
    "phn": {"name": "phn"},
    "multipoint": {"name": "multipoint", "points": 3},
}
SPLIT = {"preferences": {"name": "annealed", "per_batch": 3, "batch": "split"}}


def spec(form: str, solver: dict[str, Any] | None = None, *, training: Any = None, **options: Any) -> dict[str, Any]:
    return {
        "problem": {"python": "tests.inputs.kinds:kinds", "form": form, **options},
        "solver": SOLVERS["palora"] if solver is None else solver,
        "training": {"steps": 9, "batch_size": 8, "optimizer": {"name": "adam", "lr": 0.02}, **(training or {})},
        "evaluate": {"points": 3, "every": 1},
    }


def front(folder: Path, *given: Any, **options: Any) -> np.ndarray[Any, Any]:
    return solve(spec(*given, **options), folder, device="cpu").front("test").losses


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray[Any, Any]]:
    folder = tmp_path_factory.mktemp("flat")
    found = {name: front(folder / name, "flat", solver) for name, solver in SOLVERS.items()}
    found["split"] = front(folder / "split", "flat", {"name": "palora", **SPLIT})
    return found


@pytest.mark.parametrize("form", OTHERS)
def test_a_form_changes_nothing(form: str, flat: dict[str, np.ndarray[Any, Any]], tmp_path: Path) -> None:
    """Training, validation, saving, loading, operating points, summaries and the memory estimate."""
    run = solve(spec(form), tmp_path / "run", device="cpu")
    np.testing.assert_array_equal(run.front("test").losses, flat["palora"])
    model = ParetoModel.load(tmp_path / "run")
    x, preference = inputs(form), [0.3, 0.7]
    assert model.recipe.inputs.call == HOW[form]
    outputs = model(x, preference)
    network = model.at(preference)
    again = called(network, x, model.recipe.inputs.call)
    for key, own in zip(("up", "down"), again, strict=True):
        torch.testing.assert_close(outputs[key], own)
    written = json.loads((tmp_path / "run" / "model" / "model.json").read_text())
    assert written["inputs"]["call"] == HOW[form]
    assert InputForm.from_plain(written["inputs"]).entries == model.recipe.inputs.entries
    assert {e.dtype for e in model.recipe.inputs.entries.values()} == {torch.int64, torch.bool, torch.float32}


@pytest.mark.parametrize("name", [*SOLVERS, "split"])
def test_every_solver(name: str, flat: dict[str, np.ndarray[Any, Any]], tmp_path: Path) -> None:
    solver = {"name": "palora", **SPLIT} if name == "split" else SOLVERS[name]
    np.testing.assert_array_equal(front(tmp_path, "keywords", solver), flat[name])


@pytest.mark.parametrize("form", ["keywords", "nested", "dataclass", "positions"])
@pytest.mark.parametrize("training", [{"workers": 2}, {"resident": True}, {"resident": False}, {"recompute": True}])
def test_items_that_are_loaded(
    form: str, training: dict[str, Any], flat: dict[str, np.ndarray[Any, Any]], tmp_path: Path
) -> None:
    """Prefetched by processes, kept as tensors, or read when asked for."""
    found = front(tmp_path, form, training=training, loaded=True)
    np.testing.assert_allclose(found, flat["palora"], rtol=1e-6 if "recompute" in training else 0)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch 2.9 itself
def test_compiled(flat: dict[str, np.ndarray[Any, Any]], tmp_path: Path) -> None:
    pytest.importorskip("torch._inductor")
    found = front(tmp_path, "keywords", training={"compile": True, "steps": 9})
    np.testing.assert_allclose(found, flat["palora"], rtol=1e-3)


def test_check_says_what_a_summary_says(tmp_path: Path) -> None:
    text = "\n".join(check(spec("nested")))
    assert "memory" in text
    assert "could not be estimated" not in text
    assert "text.ids (5,) int64, text.mask (5,) bool, rest.0 (3,) float32" in text
    assert "given by keyword" in text


def test_a_model_tells_inputs_of_another_form() -> None:
    from moframework.run.plan import plan
    from moframework.spec import load_spec

    model = plan(load_spec(spec("keywords"))).model
    x = inputs("keywords")
    with pytest.raises(ValueError, match=r"should be ids .* but these lack 'age'"):
        model({key: x[key] for key in ("ids", "mask")}, [0.5, 0.5])
    with pytest.raises(ValueError, match="have 'more' too"):
        model({**x, "more": x["age"]}, [0.5, 0.5])
    with pytest.raises(ValueError, match=r"'age' should be \(b, 3\), but has the shape \(8,\)"):
        model({**x, "age": x["age"][:, 0]}, [0.5, 0.5])


def test_a_row_that_is_not_finite_is_told_with_its_entry(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError, match="the input 'age' of row 5 of the training split is nan, in column 1"):
        solve(spec("keywords", nan_at=5), tmp_path, device="cpu")


class TestCOSMOS:
    def test_the_preference_joins_the_one_entry_that_it_can(self, tmp_path: Path) -> None:
        run = solve(spec("cosmos", {"name": "cosmos"}), tmp_path / "run", device="cpu")
        model, x = ParetoModel.load(tmp_path / "run"), inputs("cosmos")
        assert np.isfinite(run.front("test").losses).all()
        network = model.at([0.25, 0.75])
        inner = copy.deepcopy(network.network)
        wider = torch.cat([x["age"], torch.tensor([0.25, 0.75]).expand(8, 2)], dim=1)
        expected = inner(ids=x["ids"], mask=x["mask"], age=wider)
        for found in (network(x), tuple(model(x, [0.25, 0.75]).values())):
            for own, one in zip(found, expected, strict=True):
                torch.testing.assert_close(own, one)
        assert model.recipe.inputs.call == "keywords"

    def test_the_entry_can_be_named(self, tmp_path: Path) -> None:
        one = front(tmp_path / "one", "cosmos", {"name": "cosmos"})
        np.testing.assert_array_equal(one, front(tmp_path / "two", "cosmos", {"name": "cosmos", "entry": "age"}))

    @pytest.mark.parametrize(
        ("entry", "words"),
        [
            ("ids", r"'ids' is \(5,\) int64"),
            ("mask", r"floating-point numbers, but 'mask' is \(5,\) bool"),
            ("agee", "no entry 'agee'.*did you mean 'age'"),
        ],
    )
    def test_what_cannot_be_joined(self, entry: str, words: str) -> None:
        with pytest.raises(SpecError, match=words):
            check(spec("cosmos", {"name": "cosmos", "entry": entry}))

    def test_a_network_of_a_fixed_size_is_told(self) -> None:
        with pytest.raises(SpecError, match="does not take its input with the preference joined"):
            check(spec("keywords", {"name": "cosmos"}))


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace")
@pytest.mark.parametrize("form", ["keywords", "positions", "whole_dict"])
def test_an_operating_point_is_exported(form: str, tmp_path: Path) -> None:
    solve(spec(form), tmp_path, device="cpu")
    model, x = ParetoModel.load(tmp_path), inputs(form)
    network = model.at([0.5, 0.5]).eval()
    expected = called(network, x, HOW[form])  # type: ignore[arg-type]
    keywords = HOW[form] == "keywords"
    arguments: tuple[Any, ...] = () if keywords else tuple(x) if HOW[form] == "positions" else (x,)
    program = torch.export.export(network, arguments, dict(x) if keywords else {})
    traced = torch.jit.trace(network, example_kwarg_inputs=x) if keywords else torch.jit.trace(network, arguments)
    for made in (program.module(), traced):
        for own, one in zip(made(*arguments, **(x if keywords else {})), expected, strict=True):
            torch.testing.assert_close(own, one)


def test_a_damaged_form_is_told(tmp_path: Path) -> None:
    from moframework.io.sealed import write_json

    solve(spec("keywords"), tmp_path, device="cpu")
    path = tmp_path / "model" / "model.json"
    written = json.loads(path.read_text())
    written["inputs"]["tree"]["dict"]["ids"]["dtype"] = "load"
    written.pop("sha256", None)
    write_json(path, {k: v for k, v in written.items() if not k.startswith("checksum")})
    with pytest.raises(RunError, match="inputs: 'load' is not the type of a tensor"):
        ParetoModel.load(tmp_path)


def test_several_sizes_without_a_collate_function_are_refused() -> None:
    with pytest.raises(DataError, match=r"row 1 has the shape \(1, 9, 8\), .*row 0.*collate.*resize"):
        check({**spec("flat"), "problem": {"python": "tests.inputs.ragged:images"}})
