"""Options of training: how fast it runs is chosen by name, and what is gone says what to use."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from moframework import solve
from moframework.config import build
from moframework.engine.acceleration import ACCELERATIONS, Choice, accelerate, choices, summary
from moframework.engine.settings import AccelerationName, Training
from moframework.engine.step import Step
from moframework.errors import SpecError
from moframework.preferences.annealed import Annealed
from moframework.run.plan import plan
from moframework.spec import Spec, load_spec
from tests.engine.conftest import CPU, Conflict, method, model_for

PROBLEM = {"name": "digits", "train": 64, "val": 16, "test": 16}


def spec(training: dict[str, Any], solver: Any = "palora") -> dict[str, Any]:
    return {"problem": PROBLEM, "solver": solver, "training": {"device": "cpu", "batch_size": 32, **training}}


def step(**changes: Any) -> Step:
    problem, parts = Conflict(), method(**changes)
    return Step(model_for(problem, parts), problem.tasks, parts, CPU)


def test_a_budget_is_in_epochs_or_in_steps() -> None:
    assert Training().budget(7) == 70
    assert Training(epochs=3).budget(7) == 21
    assert Training(steps=5).budget(7) == 5
    with pytest.raises(SpecError, match="steps: give epochs or steps, not both"):
        build(Training, {"epochs": 1, "steps": 1})


def test_weights_that_are_made_again_are_gone() -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(spec({"recompute": "weights"}))
    text = str(caught.value)
    assert "training.recompute: weights is gone" in text
    assert "applied without being merged" in text
    assert "use false" in text
    for other in (True, False):
        assert build(Training, {"recompute": other}).recompute is other


def test_where_a_spec_names_what_is_gone_is_told(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("problem: digits\nsolver: palora\ntraining:\n  recompute: weights\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"spec\.yaml:4:14: training\.recompute: weights is gone"):
        load_spec(path)


@pytest.mark.parametrize("name", get_args(AccelerationName))
def test_every_acceleration_can_be_named(name: str) -> None:
    assert build(Training, {"acceleration": [name]}).acceleration == (name,)
    assert name in ACCELERATIONS


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["single_pas"], r"training\.acceleration\.0: .* but it is 'single_pas'; did you mean 'single_pass'\?"),
        (["single_pass", "cudagraph"], r"training\.acceleration\.1: .*did you mean 'cuda_graph'\?"),
        ("non", r"training\.acceleration: must be 'auto', 'none' or a list .*did you mean 'none'\?"),
        (["auto"], r"training\.acceleration\.0: must be 'compile', 'activation_checkpoint'"),
        ("single_pass", r"training\.acceleration: must be 'auto', 'none' or a list of values, each 'compile'"),
    ],
    ids=str,
)
def test_an_unknown_acceleration_is_answered_with_the_nearest(given: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        load_spec(spec({"acceleration": given}))


@pytest.mark.parametrize(
    ("key", "name"), [("compile", "compile"), ("recompute", "activation_checkpoint"), ("cuda_graph", "cuda_graph")]
)
@pytest.mark.parametrize("wanted", ["none", ("single_pass",)], ids=str)
def test_what_another_key_asks_for_must_not_be_left_out(wanted: Any, key: str, name: str) -> None:
    training = Training(acceleration=wanted, **{key: True})
    words = rf"training\.{key} asks for {name}, which training\.acceleration leaves out; use auto there, or false here"
    for decide in (accelerate, choices):
        with pytest.raises(SpecError, match=words):
            decide(step(), training)
    with pytest.raises(SpecError, match=words):  # before anything is trained
        plan(build(Spec, spec({"acceleration": wanted, key: True}))).describe()


def test_what_is_asked_for_in_case_it_applies_may_be_left_out() -> None:
    assert all(choice.declined is not None for choice in choices(step(), Training(acceleration="none")))


DECLINED: dict[str, tuple[dict[str, Any], str]] = {
    "single_pass": ({}, "no batch is divided among preferences"),
    "adapter_layers": ({}, "no adapted weight has 131,072 elements or more"),
    "shared_concat": ({}, "the preference is no input of the network"),
    "cuda_graph": ({}, "the device is cpu"),
    "compile": ({}, "training.compile is false"),
    "activation_checkpoint": ({}, "training.recompute is false"),
}


def test_all_of_the_list_are_here() -> None:
    assert DECLINED.keys() == ACCELERATIONS.keys()


@pytest.mark.parametrize("name", DECLINED)
def test_one_that_is_named_and_does_not_apply_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    changes, reason = DECLINED[name]
    training = Training(acceleration=(name,))  # type: ignore[arg-type]
    words = rf"training\.acceleration: {name} does not apply: {reason}; use auto, or leave it out"
    for decide in (accelerate, choices):
        with pytest.raises(SpecError, match=words):
            decide(step(**changes), training)
    told = {choice.name: choice.declined for choice in choices(step(**changes), Training())}
    assert told[name] == reason
    with pytest.raises(SpecError, match=rf"{name} does not apply"):
        solve(spec({"acceleration": [name], "steps": 1}), tmp_path / "run")
    assert not list(tmp_path.rglob("*.pt")), "refused, but only after training"


def test_those_that_are_named_are_the_only_ones() -> None:
    divided = {"preferences": Annealed(per_batch=3, batch="split")}
    made = step(**divided)
    found = {choice.name: choice.declined for choice in accelerate(made, Training(acceleration=("single_pass",)))}
    assert found.pop("single_pass") is None
    assert set(found.values()) == {"training.acceleration does not name it"}
    assert len(made.forwards) == 1


@pytest.mark.parametrize("wanted", ["none", "auto"])
def test_asking_changes_nothing(wanted: Any) -> None:
    made = step(preferences=Annealed(per_batch=3, batch="split"))
    before = {name: value for name, value in vars(made).items() if name != "weights"}
    found = choices(made, Training(acceleration=wanted))
    assert {name: value for name, value in vars(made).items() if name != "weights"} == before
    assert made.forwards == []
    assert (wanted == "auto") is any(choice.declined is None for choice in found)


def test_a_summary_names_those_taken_and_the_reasons_of_the_others() -> None:
    found = [Choice("one", "does this", None), Choice("two", "does that", "the device is cpu")]
    assert summary(found) == "accelerated by one; not by two (the device is cpu)"
    assert summary(found[:1]) == "accelerated by one; not by nothing else"
    assert summary(found[1:]) == "accelerated by nothing; not by two (the device is cpu)"


def test_a_check_says_what_makes_steps_faster() -> None:
    solver = {"name": "palora", "preferences": {"name": "annealed", "per_batch": 2, "batch": "split"}}
    ready = plan(build(Spec, spec({}, solver)))
    text = "\n".join(ready.describe(verbose=True))
    assert "accelerated single_pass: a divided batch goes through the network in one pass" in text
    assert "not cuda_graph: the device is cpu" in text
    short = [line for line in ready.describe() if "single_pass" in line or "cuda_graph" in line]
    assert short == ["accelerated by single_pass"]
    plain = plan(build(Spec, spec({"acceleration": "none"}, solver)))
    assert plain.accelerations() == ["accelerated by nothing"]
    assert "training.acceleration is none" in "\n".join(plain.accelerations(verbose=True))
