"""Whole runs of searches: what they leave, that a killed one loses nothing, functions that fail, and refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch

from moframework import Run, check, load_spec, solve
from moframework.engine.events import Observer, Progress
from moframework.errors import DamagedFileError, InterruptedRun, RunError, SpecError
from moframework.pareto import hypervolume
from moframework.run.run import JOURNAL
from moframework.run.signals import StopRequest
from moframework.schemas import RESULT_FILES, result_schema
from tests.extras import needs_botorch

PSL = {"name": "psl", "evaluations": 11, "initial_design": 6, "batch": 3, "steps": 5, "candidates": 20}
NSGA2 = {"name": "nsga2", "evaluations": 20, "initial_design": 8, "batch": 6}
QNEHVI = {
    **{"name": "qnehvi", "evaluations": 8, "initial_design": 5, "batch": 2},
    **{"samples": 8, "restarts": 1, "raw_samples": 8},
}
SEARCHES = [pytest.param(PSL, id="psl"), pytest.param(NSGA2, id="nsga2"), pytest.param(QNEHVI, marks=needs_botorch)]

# A file that counts its calls, and fails where the first variable is small.
FUNCTION = """
from pathlib import Path

def f(x, *, calls: str, bad: float = 0.0, how: str = "raise"):
    with Path(calls).open("a") as file:
        file.write("x")
    if x[0] < bad:
        if how == "raise":
            raise ValueError("no mesh")
        return {"nan": [float("nan"), 1.0], "three": [1.0, 2.0, 3.0], "text": "ab"}[how]
    return [x[0] ** 2 + x[1], (x[0] - 1) ** 2 + x[1]]
"""


def spec(solver: Any = PSL, problem: Any = "re21", **more: Any) -> dict[str, Any]:
    return {"name": "tiny", "problem": problem, "solver": solver, "log": [], **more}


@pytest.fixture
def own(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    (tmp_path / "f.py").write_text(FUNCTION)

    def made(**options: Any) -> dict[str, Any]:
        function = {"python": f"{tmp_path}/f.py:f", "calls": f"{tmp_path}/calls", **options}
        return {
            **{"name": "black_box", "function": function, "objectives": 2},
            **{"lower": [0.0, 0.0], "upper": [1.0, 1.0]},
        }

    return made


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], Run]:
    """The run of a search, made once."""
    made: dict[str, Run] = {}

    def run(solver: dict[str, Any]) -> Run:
        name = solver["name"]
        if name not in made:
            made[name] = solve(spec(solver), tmp_path_factory.mktemp(name) / "run")
        return made[name]

    return run


def calls(folder: Path) -> int:
    path = folder / "calls"
    return path.stat().st_size if path.exists() else 0


class Killed(Exception):
    """Stands for the end of a process."""


class Killer(Observer):
    def __init__(self, at: int) -> None:
        self.at = at

    def stepped(self, progress: Progress) -> None:
        if progress.step == self.at:
            raise Killed


@pytest.mark.parametrize("solver", SEARCHES)
def test_a_run_leaves_what_every_run_leaves(solver: dict[str, Any], solved: Callable[[Any], Run]) -> None:
    run = solved(solver)
    known, front = run.evaluations(), run.front()
    assert (run.status, run.damaged(), len(known)) == ("done", [], solver["evaluations"])
    np.testing.assert_array_equal(front.losses, known.values[known.front()])
    assert front.nondominated().all()
    np.testing.assert_array_equal(run.front("val").losses, front.losses)
    assert front.hypervolume() == pytest.approx(hypervolume(known.values, run.spec.problem.reference or ()), rel=1e-12)
    function = run.spec.problem.box_function
    assert function is not None
    assert ((known.x >= function.lower) & (known.x <= function.upper)).all()
    x = run.at(front.preferences[0])(torch.ones(1, 1))["x"].detach().numpy()
    assert ((x >= np.float32(function.lower)) & (x <= np.float32(function.upper))).all()
    for name in ("status", "history", "report", "front"):
        files = list(run.path.glob(RESULT_FILES[name]))
        assert files
        for file in files:
            jsonschema.validate(json.loads(file.read_text()), result_schema(name))


def test_history_is_the_hypervolume_against_evaluations(solved: Callable[[Any], Run]) -> None:
    run = solved(PSL)
    known, past = run.evaluations(), run.history()["validations"]
    assert [one["step"] for one in past] == [6, 9, 11]
    for one in past:
        volume = hypervolume(known[: one["step"]].values, run.spec.problem.reference or ())
        assert one["hypervolumes"]["losses"] == pytest.approx(volume, rel=1e-6)
    np.testing.assert_allclose(past[-1]["losses"], run.front().losses, rtol=1e-6)


def test_a_finite_model_returns_the_evaluated_points(solved: Callable[[Any], Run]) -> None:
    run = solved(NSGA2)
    front, known = run.front(), run.evaluations()
    for preference, point in zip(front.preferences, known.x[known.front()], strict=True):
        found = run.at(preference)(torch.ones(1, 1))["x"].detach().numpy()[0]
        np.testing.assert_allclose(found, point, rtol=1e-6)
    again = run.evaluate()
    np.testing.assert_allclose(again.losses, front.losses, rtol=1e-5)


@pytest.mark.parametrize(
    ("solver", "at"), [(PSL, 3), (PSL, 7), (NSGA2, 9), pytest.param(QNEHVI, 6, marks=needs_botorch)]
)
def test_killed_and_resumed_it_ends_the_same(
    solver: dict[str, Any], at: int, solved: Callable[[Any], Run], tmp_path: Path
) -> None:
    whole = solved(solver)
    with pytest.raises(Killed):
        solve(spec(solver), tmp_path / "run", observers=[Killer(at)])
    assert len(Run(tmp_path / "run").evaluations()) == at
    with (tmp_path / "run" / JOURNAL).open("ab") as file:
        file.write(b'{"batch": 0, "x": [0.')  # as a kill in the middle of a line leaves it
    run = solve(tmp_path / "run", resume=True)
    np.testing.assert_array_equal(run.evaluations().x, whole.evaluations().x)
    np.testing.assert_array_equal(run.front().losses, whole.front().losses)
    state, other = (one.model().state_dict() for one in (run, whole))
    assert all(torch.equal(value, other[name]) for name, value in state.items())


def test_no_evaluation_is_made_twice(own: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(Killed):
        solve(spec(problem=own()), tmp_path / "run", observers=[Killer(7)])
    assert calls(tmp_path) == 7
    solve(spec(problem=own()), tmp_path / "run", resume=True)
    assert calls(tmp_path) == 11
    longer = spec({**PSL, "evaluations": 14}, own())
    assert len(solve(longer, tmp_path / "run", resume=True).evaluations()) == calls(tmp_path) == 14
    with pytest.raises(RunError, match="11 is less than the 14 that the run"):
        solve(spec(problem=own()), tmp_path / "run", resume=True)


def test_asked_to_stop_it_keeps_every_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Asks(Observer):
        def stepped(self, progress: Progress) -> None:
            if progress.step == 4:
                monkeypatch.setattr(StopRequest, "__call__", lambda self: True)

    with pytest.raises(InterruptedRun, match=r"stopped after 4 of 11 evaluations.*--resume"):
        solve(spec(), tmp_path / "run", observers=[Asks()])
    assert Run(tmp_path / "run").status == "interrupted"
    assert len(Run(tmp_path / "run").evaluations()) == 4


@pytest.mark.parametrize(("how", "words"), [("raise", "ValueError: no mesh"), ("nan", "returned nan, 1")])
def test_failed_evaluations_are_counted_and_told(
    own: Callable[..., dict[str, Any]], how: str, words: str, tmp_path: Path
) -> None:
    run = solve(spec(PSL if how == "nan" else NSGA2, own(bad=0.2, how=how)), tmp_path / "run", trust=True)
    known = run.evaluations()
    assert 0 < known.failed == run.summary()["failed_evaluations"]
    assert {one.error for one in known if one.values is None} == {words}
    assert len(known.values) == len(known) - known.failed > 2
    assert re.search(rf"evaluation \d+ at x = \(.*\) failed: {words}", (run.path / "log.txt").read_text())
    assert any(words in note for note in run.report()["notes"])
    if how == "raise":
        assert any(re.search(r"no mesh \(.*\.py:\d+\)$", note) for note in run.report()["notes"])


def test_too_many_failures_end_the_run_and_it_can_go_on(own: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    solver = {**NSGA2, "failures": 2}
    with pytest.raises(
        RunError, match=r"3 evaluations failed, and solver\.failures allows 2; .*--set solver\.failures"
    ):
        solve(spec(solver, own(bad=0.9)), tmp_path / "run")
    before = calls(tmp_path)
    run = solve(spec({**solver, "failures": 20}, own(bad=0.9)), tmp_path / "run", resume=True)
    assert run.status == "done"
    assert calls(tmp_path) == 20 > before


def test_where_everything_fails_there_is_no_front(own: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="0 of 11 evaluations succeeded"):
        solve(spec({**PSL, "failures": 11}, own(bad=2.0)), tmp_path / "run")


@pytest.mark.parametrize(
    ("how", "words"), [("three", r"array of shape \(3,\)"), ("text", "must return 2 numbers, but could not convert")]
)
def test_a_function_that_returns_something_else_is_told(
    own: Callable[..., dict[str, Any]], how: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=f"problem.function: .*{words}"):
        solve(spec(problem=own(bad=2.0, how=how)), tmp_path / "run")


def test_check_evaluates_nothing_and_says_what_will_be(own: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    lines = "\n".join(check(spec(problem=own())))
    assert calls(tmp_path) == 0
    assert "11 evaluations of 2 objectives of 2 variables: 6 of a Latin hypercube, then 2 batches of 3" in lines
    assert "a tenth beyond the worst initial evaluations" in lines


def test_without_a_reference_point_the_initial_evaluations_give_one(
    own: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    run = solve(spec({**NSGA2, "evaluations": 14}, own()), tmp_path / "run")
    first = run.evaluations()[:8].values
    expected = first.max(axis=0) + 0.1 * np.ptp(first, axis=0)
    np.testing.assert_allclose(run.front().reference or (), expected)
    stated = solve(spec({**NSGA2, "evaluations": 8}, own(), evaluate={"reference": [3, 4]}), tmp_path / "stated")
    assert stated.front().reference == (3, 4)


def test_picking_spends_no_evaluation(own: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    run = solve(spec(NSGA2, own()), tmp_path / "run")
    before, front = calls(tmp_path), run.front()
    bound = float(np.median(front.losses[:, 0]))
    found = run.pick(f"f1/loss <= {bound}", minimize="f2/loss")
    row = np.where(front.losses[:, 0] <= bound, front.losses[:, 1], np.inf).argmin()
    known = run.evaluations()
    assert found.x == tuple(known.x[known.front()][row])
    assert (found.val["f2/loss"], found.evaluations) == (front.losses[row, 1], 0)
    assert found.as_plain()["x"] == list(found.x)
    with pytest.raises(RunError, match="no point of"):
        run.pick("f1/loss < -1")
    with pytest.raises(RunError, match="pick among those that were made"):
        run.step(found.preference, "f1=better")
    assert calls(tmp_path) == before


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    run = solve(spec({**NSGA2, "evaluations": 8}), tmp_path / "run")
    text = (run.path / JOURNAL).read_text()
    (run.path / JOURNAL).write_text(text.replace('"values": [', '"values": [9', 1))
    with pytest.raises(DamagedFileError, match=r"line 2 of .*evaluations\.jsonl is damaged.*evaluated anew"):
        run.evaluations()
    with pytest.raises(RunError, match="searched no function"):
        solve(spec("single", "zdt1", training={"steps": 1}), tmp_path / "trained").evaluations()


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (spec(problem={"name": "digits", "train": 64, "val": 16, "test": 16}), "psl searches a function of variables"),
        (spec(problem={"name": "quadratics"}), "variables without bounds"),
        (spec(constraints={"f1/loss": "<= 2000"}), "constraints: psl heeds none"),
        (spec({**PSL, "objective": "epo"}), "psl descends a scalarization"),
        (spec({**PSL, "initial_design": 12}), "initial_design: must be at most evaluations, 11"),
    ],
)
def test_what_does_not_go_together_is_refused(made: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=words):
        solve(made, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_botorch_qnehvi_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moframework.blackbox.qnehvi.find_spec", lambda name: None)
    with pytest.raises(SpecError, match=r"qnehvi needs BoTorch.*pip install 'moframework\[botorch\]'"):
        check(spec(QNEHVI))


def test_solvers_that_follow_gradients_refuse_a_black_box(own: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"single follows gradients.*only its values: nsga2, psl, qnehvi"):
        check(load_spec(spec("single", own())))
    assert calls(tmp_path) == 0
