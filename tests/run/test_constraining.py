"""Constraints of a spec: read, trained under, and kept in the dial of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moframework import ParetoModel, Run, check, solve
from moframework.engine.loop import Loop
from moframework.errors import SpecError
from moframework.run.constraining import conditions_of
from moframework.spec import load_spec
from moframework.weights.restricted import RestrictedSpace


def spec(constraints: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Two quadratics, whose front a hull of two points has exactly."""
    return {
        "problem": {"name": "quadratics", "copies": 200},
        "solver": {"name": "pamal", "preferences": {"name": "dirichlet", "per_batch": 4}},
        "training": {"steps": 200, "batch_size": 1, "device": "cpu", "optimizer": {"name": "adam", "lr": 0.05}},
        "evaluate": {"every": 0},
        "constraints": constraints,
        **changed,
    }


def first_task() -> str:
    return load_spec(spec({})).problem.tasks[0].name


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run, float]:
    """A run without constraints, one with the first loss bounded within what that reaches, and the bound."""
    folder = tmp_path_factory.mktemp("runs")
    free = solve(spec({}), out=folder / "free")
    bound = round(float(np.quantile(free.front("val").losses[:, 0], 0.4)), 4)
    return free, solve(spec({f"{first_task()}/loss": f"<= {bound}"}), out=folder / "limited"), bound


def test_a_bound_holds_at_every_preference_and_the_other_loss_is_as_good_as_it_can_be(
    limited: tuple[Run, Run, float],
) -> None:
    free, run, bound = limited
    front = run.front("val")
    assert (front.losses[:, 0] <= bound).all()
    assert front.losses[:, 0].max() > 0.98 * bound, "as far as it goes"
    best = free.pick(f"{first_task()}/loss <= {bound}", minimize=f"{front.tasks[1]}/loss").val[f"{front.tasks[1]}/loss"]
    assert front.losses[:, 1].min() <= 1.02 * best
    assert front.controllability() == pytest.approx([-1, -1])
    text = (run.path / "report.txt").read_text()
    assert "The dial is limited to what meets the constraints" in text


def test_whatever_uses_the_model_stays_inside(limited: tuple[Run, Run, float], tmp_path: Path) -> None:
    _, run, bound = limited
    assert (run.evaluate(points=23, split="val").losses[:, 0] <= bound * (1 + 1e-3)).all()
    model = ParetoModel.load(run.path)
    assert isinstance(model.space, RestrictedSpace)
    x = run.spec.problem.data("val").inputs[:2]
    run.export(tmp_path / "dial.pt2")
    program = torch.export.load(str(tmp_path / "dial.pt2")).module()
    for name, value in program(input=x, preference=torch.tensor([0.0, 1.0])).items():
        assert value.allclose(model(x, [0, 1])[name], atol=1e-6)


def test_preferences_of_the_second_half_come_from_the_part(
    limited: tuple[Run, Run, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = limited[2]
    drawn: list[torch.Tensor] = []
    step = Loop.train_step

    def watched(self: Loop, *given: Any) -> None:
        step(self, *given)
        drawn.append(self.preferences)

    monkeypatch.setattr(Loop, "train_step", watched)
    solve(spec({f"{first_task()}/loss": f"<= {bound}"}), out=tmp_path / "run")
    drawn = drawn[-200:]  # what the run tries out first is left out
    first, second = torch.cat(drawn[:100])[:, 0], torch.cat(drawn[100:])[:, 0]
    assert first.min() < 0.02
    assert 0.1 < second.min() < 0.6
    assert second.max() > 0.95
    assert torch.cat(drawn).sum(dim=1).allclose(torch.ones(len(drawn) * 4), atol=1e-5)


@pytest.mark.parametrize("at", [60, 130])
def test_a_training_that_is_killed_goes_on_as_one_that_is_not(
    limited: tuple[Run, Run, float], at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, run, bound = limited
    step = Loop.train_step

    def killed(self: Loop, *given: Any) -> None:
        if self.done == at:
            raise ZeroDivisionError
        step(self, *given)

    own = spec({f"{first_task()}/loss": f"<= {bound}"})
    own["training"] = {**own["training"], "checkpoint_every": 50}
    with monkeypatch.context() as patched:
        patched.setattr(Loop, "train_step", killed)
        with pytest.raises(ZeroDivisionError):
            solve(own, out=tmp_path / "run")
    again = solve(tmp_path / "run", resume=True)
    assert again.front("val") == run.front("val")


def test_a_constraint_that_cannot_be_met_is_told_and_leaves_the_dial(tmp_path: Path) -> None:
    names = [f"{task.name}/loss" for task in load_spec(spec({})).problem.tasks]
    run = solve(spec({names[0]: "<= 0.1", names[1]: ["<= 0.2", ">= 0"]}), out=tmp_path / "run")
    text = (run.path / "report.txt").read_text()
    assert f"The constraints ({names[0]} <= 0.1, {names[1]} <= 0.2, {names[1]} >= 0) cannot be met" in text
    assert f"{names[1]} <= 0.2 is missed by" in text
    assert f"Each alone: {names[0]} at best" in text
    assert run.front("val").losses[:, 0].min() < 0.01
    assert not isinstance(ParetoModel.load(run.path).space, RestrictedSpace)


def test_constraints_on_metrics_of_a_network_whose_dial_is_an_input(tmp_path: Path) -> None:
    own = {
        "problem": {"name": "digits", "train": 600, "val": 200, "test": 100},
        "solver": "cosmos",
        "training": {"epochs": 8, "batch_size": 60, "device": "cpu", "optimizer": {"name": "adam", "lr": 0.01}},
        "evaluate": {"every": 0, "points": 5},
    }
    free = solve(own, out=tmp_path / "free").front("val").metrics["left/accuracy"]
    bound = float(np.quantile(free, 0.6, method="higher"))
    run = solve({**own, "constraints": {"left/accuracy": f">= {bound}"}}, out=tmp_path / "run")
    assert (run.front("val").metrics["left/accuracy"] >= bound).mean() >= 0.95
    assert isinstance(run.model().space, RestrictedSpace)


def test_check_tells_them_and_what_is_wrong() -> None:
    name = first_task()
    assert any(line == f"constraints {name}/loss <= 0.2" for line in check(spec({f"{name}/loss": "<= 0.2"})))
    wrong = spec({f"{name}/los": "<= 1", f"{name}/loss": ["0.3", "= 0.3", "<= a"]}, solver="multipoint")
    with pytest.raises(SpecError) as error:
        check(wrong)
    lines = str(error.value).splitlines()
    assert lines[0].startswith("constraints: multipoint trains a finite set of preferences")
    assert "moframework pick RUN --where" in lines[0]
    assert lines[1].startswith(f"constraints.{name}/los: no column '{name}/los': did you mean '{name}/loss'? allowed: ")
    assert lines[2].startswith(f"constraints.{name}/loss: cannot read condition '{name}/loss 0.3'")
    assert lines[3] == f"constraints.{name}/loss: condition '{name}/loss <= a': 'a' is not a number"
    assert len(lines) == 4
    assert conditions_of(load_spec(spec({}))) == []


def test_an_adaptive_schedule_is_refused() -> None:
    spec = load_spec(
        {
            "problem": "digits",
            "solver": {"name": "palora", "preferences": "maximin"},
            "constraints": {"left/loss": "<= 1"},
        }
    )
    with pytest.raises(SpecError, match="an adaptive schedule chooses by itself"):
        conditions_of(spec)
