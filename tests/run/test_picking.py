"""`Run.evaluate`, `Run.pick` and `Run.step` on small runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from moframework.problems.digits import Digits
from torch.utils.data import Subset

from moframework import Run, load_spec, solve
from moframework.data import Split, TensorData
from moframework.errors import DataError, PreferenceError, RequestError, RunError
from moframework.pareto.rules import Column, Compromise, Nearest, Weights
from moframework.run.intervals import intervals
from moframework.run.picking import NothingSatisfiesError, pick
from moframework.run.splits import describe_splits
from tests.run.test_batchnorm_gap import BACKBONE

DIGITS: dict[str, Any] = {
    "name": "tiny",
    "problem": {"name": "digits", "train": 512, "val": 128, "test": 128},
    "solver": {"name": "palora", "rank": 2},
    "training": {"epochs": 5, "batch_size": 64, "log_every": 50},
    "evaluate": {"points": 5, "every": 0},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return solve(load_spec(DIGITS), tmp_path_factory.mktemp("pick") / "run")


@pytest.fixture(scope="module")
def finite(tmp_path_factory: pytest.TempPathFactory) -> Run:
    solver = {"name": "multipoint", "points": 3}
    spec = load_spec({**DIGITS, "solver": solver, "training": {"steps": 20, "batch_size": 64}})
    return solve(spec, tmp_path_factory.mktemp("pick") / "finite")


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in folder.rglob("*"):
        found[str(path.relative_to(folder))] = (path.stat().st_mtime_ns, path.stat().st_size)
    return found


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_stored_front_is_evaluated_again(run: Run, tmp_path: Path, split: Any) -> None:
    shutil.copytree(run.path, tmp_path / "moved")
    before, stored = contents(tmp_path / "moved"), run.front(split)
    found = Run(tmp_path / "moved").evaluate(split=split)
    np.testing.assert_allclose(found.losses, stored.losses, rtol=1e-6, atol=1e-6)
    for name, values in stored.metrics.items():
        np.testing.assert_allclose(found.metrics[name], values, rtol=1e-6)
    assert (found.preferences == stored.preferences).all()
    assert (found.reference, found.metric_reference, found.split) == (stored.reference, stored.metric_reference, split)
    assert contents(tmp_path / "moved") == before


def test_other_preferences_and_other_data(run: Run) -> None:
    stored, test = run.front("test"), run.spec.problem.data("test")
    front = run.evaluate(preferences=[[1, 3], stored.preferences[2]], metrics=False)
    np.testing.assert_allclose(front.losses[1], stored.losses[2], rtol=1e-5)
    np.testing.assert_allclose(front.preferences[0], [0.25, 0.75])
    assert front.metrics == {}
    assert len(run.evaluate(points=3).losses) == 3
    few = run.evaluate(preferences=[[0.5, 0.5]], data=Subset(test, range(7)))
    with torch.no_grad():
        outputs = run.model().at([0.5, 0.5])(test.inputs[:7])
    expected = torch.nn.functional.cross_entropy(outputs["left"], test.targets["left"][:7])
    np.testing.assert_allclose(few.losses[0, 0], float(expected), rtol=1e-5)


def test_a_file_in_the_place_of_the_data(tmp_path: Path, run: Run) -> None:
    x = np.random.default_rng(0).random((90, 2), dtype=np.float32)
    arrays = {"inputs": x, "sum": x.sum(1, keepdims=True), "product": x.prod(1, keepdims=True)}
    np.savez(tmp_path / "data.npz", **arrays, split=np.repeat([0, 1, 2], 30))
    np.savez(tmp_path / "new.npz", **{key: value[60:] for key, value in arrays.items()})
    problem = {
        "data": {"name": "npz", "path": str(tmp_path / "data.npz")},
        "backbone": {"name": "mlp", "hidden": [4]},
        "tasks": {"sum": {"loss": "mse"}, "product": {"loss": "mse"}},
    }
    spec = load_spec({**DIGITS, "problem": problem, "training": {"steps": 2, "batch_size": 30}})
    made = solve(spec, tmp_path / "npz")
    (tmp_path / "data.npz").unlink()
    np.testing.assert_allclose(made.evaluate(data=tmp_path / "new.npz").losses, made.front("test").losses, rtol=1e-6)
    with pytest.raises(RunError, match="cannot stand in the place of this problem's data"):
        run.evaluate(data=tmp_path / "new.npz")


def test_data_that_have_changed_since_are_not_taken_for_those_of_the_run(tmp_path: Path) -> None:
    """Else stored and new numbers of a pick would be of different samples."""
    rng = np.random.default_rng(0)

    def write(scale: float) -> None:
        x = (rng.random((90, 2)) * scale).astype(np.float32)
        arrays = {"inputs": x, "sum": x.sum(1, keepdims=True), "product": x.prod(1, keepdims=True)}
        np.savez(tmp_path / "data.npz", **arrays, split=np.repeat([0, 1, 2], 30))

    write(1)
    problem = {
        "data": {"name": "npz", "path": str(tmp_path / "data.npz")},
        "backbone": {"name": "mlp", "hidden": [4]},
        "tasks": {"sum": {"loss": "mse"}, "product": {"loss": "mse"}},
    }
    made = solve(
        load_spec({**DIGITS, "problem": problem, "training": {"steps": 2, "batch_size": 30}}), tmp_path / "run"
    )
    kept = (tmp_path / "data.npz").read_bytes()
    write(3)
    for ask in (made.evaluate, lambda: made.evaluate(split="val"), made.pick):
        with pytest.raises(DataError, match=r"not what .*run was started with: (val|test) was 30 .*--data FILE"):
            ask()
    (tmp_path / "data.npz").write_bytes(kept)
    made.pick()


def test_data_that_only_rounding_has_changed_are_those_of_the_run(run: Run, tmp_path: Path) -> None:
    """Another machine may make other last bits of the same data; and a record that is damaged blocks nothing."""
    shutil.copytree(run.path, tmp_path / "run")
    stored = run.front("val")

    class Rounded(Digits):  # type: ignore[misc]
        def data(self, split: Split) -> TensorData:
            made = super().data(split)
            return TensorData(made.inputs * (1 + 1e-6), made.targets)

    trained = Run(tmp_path / "run").trained()
    elsewhere = attrs.evolve(trained, problem=Rounded(train=512, val=128, test=128))
    assert describe_splits({"val": elsewhere.problem.data("val")}) != describe_splits({"val": trained.data("val")})
    found = elsewhere.front(torch.tensor(stored.preferences), "val", metrics=False)
    np.testing.assert_allclose(found.losses, stored.losses, rtol=1e-3)
    (tmp_path / "run" / "data.json").write_text("{")
    Run(tmp_path / "run").evaluate(points=2)
    other = attrs.evolve(trained, problem=Rounded(train=512, val=128, test=128, seed=5))
    with pytest.raises(RunError, match=r"data\.json"):
        other.data("val")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"points": 3, "preferences": [[1, 0]]}, "give points or preferences, not both"),
        ({"preferences": [[1, -1]]}, "non-negative"),
        ({"preferences": [[1, 0, 0]]}, "got [1.0, 0.0, 0.0]"),
        ({"preferences": []}, "no preference"),
    ],
)
def test_preferences_that_are_none(run: Run, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(RunError, match=re.escape(words)):
        run.evaluate(**arguments)


def test_a_finite_set_is_evaluated_and_picked_from_at_its_own_preferences(finite: Run) -> None:
    stored = finite.front("test")
    np.testing.assert_allclose(finite.evaluate().losses, stored.losses, rtol=1e-6)
    np.testing.assert_allclose(finite.evaluate(preferences=[[1, 1]]).losses[0], stored.losses[1], rtol=1e-6)
    with pytest.raises(RunError, match=r"nothing between them; \(0\.3, 0\.7\) is none of these"):
        finite.evaluate(preferences=[[0.3, 0.7]])
    found = finite.pick(minimize="left/loss")
    val = finite.front("val")
    assert found.evaluations == 0
    assert found.val["left/loss"] == val.losses[:, 0].min()
    worse = finite.step(found.preference, "left/loss=worse")
    assert worse.val["left/loss"] > found.val["left/loss"]


def test_a_pick_is_better_than_any_point_of_the_stored_front_that_will_do(run: Run) -> None:
    val = run.front("val")
    bound = float(np.sort(val.losses[:, 0])[1:3].mean())  # between two of its points
    found = run.pick(f"left/loss <= {bound}", minimize="right/loss")
    best = val.losses[val.select(where=f"left/loss <= {bound}", minimize="right/loss"), 1]
    assert found.val["left/loss"] <= bound
    assert found.val["right/loss"] < best
    assert 0 < found.evaluations <= 30
    again = run.evaluate(preferences=[found.preference])
    np.testing.assert_allclose(found.test["right/loss"], again.losses[0, 1], rtol=1e-5)
    for split, values in (("val", found.val), ("test", found.test)):
        assert set(found.intervals[split]) == set(values)
        assert all(low <= values[name] <= high for name, (low, high) in found.intervals[split].items())


def test_the_test_split_chooses_nothing(run: Run) -> None:
    where = f"left/loss <= {float(np.median(run.front('val').losses[:, 0]))}"
    found = run.pick(where, rule="compromise", evaluations=6)
    trained = run.trained()
    trained.samples["test"] = Subset(trained.data("test"), range(5))
    other = pick(trained, run.front("val"), where, Compromise(), 6)
    assert other.preference == found.preference
    assert other.test != found.test


def test_when_nothing_satisfies_the_nearest_miss_is_told(run: Run) -> None:
    with pytest.raises(NothingSatisfiesError, match="no point of 8 meets all conditions") as error:
        run.pick(["left/accuracy >= 1", "right/loss <= 1000"], maximize="right/accuracy", evaluations=3)
    best = max(run.front("val").metrics["left/accuracy"])
    assert len(error.value.misses) == 1
    assert error.value.misses[0].startswith("left/accuracy >= 1 is missed by ")
    assert float(error.value.misses[0].rpartition(" ")[2]) >= best - 1e-4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"where": "left/acc >= 0.9"}, "did you mean 'left/accuracy'"),
        (
            {"where": "left/accuracy >= 80"},
            "'left/accuracy >= 80' holds nowhere, for 1 is the .*: for 80 %, write 0.8$",
        ),
        ({"where": "left/accuracy > 1"}, "holds nowhere, for 1 is the best value of left/accuracy$"),
        ({"where": "left/accuracy = 2 ± 0.5"}, "holds nowhere, for 1 is the best"),
        ({"maximize": "left/acc"}, "did you mean 'left/accuracy'"),
        ({"rule": "minimise left/loss"}, "did you mean 'minimize left/loss'. rules: maximize COLUMN, "),
        ({"maximize": "left/accuracy", "rule": "knee"}, "one rule decides, but 2 are given"),
        ({"rule": Weights({"lef": 1})}, "did you mean 'left'"),
    ],
)
def test_names_and_rules_that_cannot_be_used(run: Run, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        run.pick(**arguments)


def test_a_preference_of_the_wrong_kind_is_one_error_and_names_of_tasks_will_do(run: Run, tmp_path: Path) -> None:
    by_name = run.evaluate(preferences=[{"right": 3, "left": 1}], metrics=False)
    np.testing.assert_array_equal(by_name.preferences, [[0.25, 0.75]])
    given: Any = {"right": 3, "left": 1}  # without a list around it
    np.testing.assert_array_equal(run.evaluate(preferences=given, metrics=False).preferences, [[0.25, 0.75]])
    for wrong in ("0.5,0.5", {"left": 0.5, "rihgt": 0.5}, [float("nan"), 1.0]):
        uses: list[Any] = [
            lambda one: run.evaluate(preferences=[one]),
            lambda one: run.export(tmp_path / "m.safetensors", one),
            lambda one: run.predict(torch.zeros(1, 1, 12, 12), one),
            lambda one: run.at(one),
            lambda one: run.step(one, "left=better"),
        ]
        for use in uses:
            with pytest.raises(PreferenceError):
                use(wrong)


def test_a_pick_tells_of_a_reversed_dial_of_what_it_goes_by(run: Run) -> None:
    front = run.front("val")
    more = np.argsort(np.argsort(front.losses[:, 0])) / (len(front.losses) - 1)  # on left, the more its loss is
    backwards = attrs.evolve(front, preferences=np.stack([more, 1 - more], axis=1))
    for where, rule in (("left/loss <= 100", Column("right/loss", False)), ((), Compromise())):
        found = pick(run.trained(), backwards, where, rule, 0)
        assert found.notes[0].startswith("The dial of 'left' is reversed on the validation split, which chose this")
        assert f"note: {found.notes[0]}" in str(found).splitlines()
        assert found.notes[0] in found.as_plain()["notes"]
    for decided in (Column("right/loss", False), Weights({"right": 1.0}), Nearest({"right/loss": 0.0})):
        assert not any("'left'" in note for note in pick(run.trained(), backwards, (), decided, 0).notes)


def test_a_pick_is_printed_in_some_lines(run: Run) -> None:
    found = run.pick("left/loss <= 10", minimize="right/loss", evaluations=0)
    first, *rest = str(found).splitlines()
    assert first.startswith("λ = (")
    assert first.endswith("for left, right: smallest right/loss where left/loss <= 10")
    assert rest[0].startswith(f"validation: left/loss {found.val['left/loss']:.4g}, right/loss ")
    assert rest[1].startswith(f"test: left/loss {found.test['left/loss']:.4g}, ")


def test_a_step_betters_one_task_at_the_cost_of_the_other(run: Run) -> None:
    val = run.front("val")
    width = float(np.ptp(val.losses[:, 1]))
    found = run.step([0.5, 0.5], "right/loss=better", evaluations=12)
    assert found.before is not None
    gained = found.before["right/loss"] - found.val["right/loss"]
    assert 0.05 * width <= gained < 0.5 * width
    assert found.preference[1] > 0.5
    with pytest.raises(NothingSatisfiesError):
        run.step(val.preferences[val.losses[:, 1].argmin()], "right/loss=better", evaluations=0)
    with pytest.raises(RequestError, match="did you mean 'right'"):
        run.step([0.5, 0.5], "rihgt=better")


def test_intervals_are_those_of_the_normal_distribution_on_many_samples(run: Run) -> None:
    trained = run.trained()
    data = trained.data("test")
    found = intervals(trained, torch.tensor([0.5, 0.5]), data)
    with torch.no_grad():
        outputs = run.model().at([0.5, 0.5])(data.inputs)["left"]
    losses = torch.nn.functional.cross_entropy(outputs, data.targets["left"], reduction="none")
    right = (outputs.argmax(1) == data.targets["left"]).double()
    for name, values in (("left/loss", losses.double()), ("left/accuracy", right)):
        middle, margin = float(values.mean()), 1.96 * float(values.std()) / len(values) ** 0.5
        low, high = found[name]
        assert low == pytest.approx(middle - margin, abs=0.3 * margin)
        assert high == pytest.approx(middle + margin, abs=0.3 * margin)


def test_points_are_judged_by_batchnorm_statistics_of_their_own(tmp_path: Path) -> None:
    problem = {
        "name": "digits", "train": 128, "val": 64, "test": 64,
        "backbone": BACKBONE,
    }  # fmt: skip
    spec = load_spec({**DIGITS, "problem": problem, "training": {"epochs": 3, "batch_size": 64}})
    made = solve(spec, tmp_path / "run")
    where = f"left/loss <= {made.front('val').losses.max()}"
    found = made.pick(where, minimize="right/loss", evaluations=2, batchnorm="recalibrate")
    again = made.evaluate(preferences=[found.preference], batchnorm="recalibrate")
    np.testing.assert_allclose(found.test["right/loss"], again.losses[0, 1], rtol=1e-5)
    stored = made.evaluate(split="val", batchnorm="recalibrate")
    np.testing.assert_allclose(found.seen.losses[: len(stored.losses)], stored.losses, rtol=1e-5)
    assert not np.allclose(stored.losses, made.front("val").losses, rtol=1e-3)
    shared = made.evaluate(preferences=[found.preference])
    assert abs(shared.losses[0, 1] - found.test["right/loss"]) > 1e-4
    low, high = found.intervals["test"]["right/loss"]
    assert low <= found.test["right/loss"] <= high
    step = made.step(found.preference, "left/loss=better", evaluations=2, batchnorm="recalibrate")
    assert step.before is not None
    np.testing.assert_allclose(
        step.before["left/loss"],
        made.evaluate(preferences=[found.preference], split="val", batchnorm="recalibrate").losses[0, 0],
        rtol=1e-5,
    )
