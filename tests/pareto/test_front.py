from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moframework.errors import MoframeworkError
from moframework.pareto import Front, angles, controllability, hypervolume, igd, igd_plus, nondominated, nonuniformity
from tests.pareto.fronts import Array, clouds, example


def test_it_says_what_the_indicators_say() -> None:
    front = example(true_front=[[0.1, 0.3], [0.3, 0.1]])
    assert front.true_front is not None
    assert front.nondominated().tolist() == nondominated(front.losses).tolist()
    assert front.hypervolume() == hypervolume(front.losses, [1, 1])
    assert front.hypervolume([2, 2]) == hypervolume(front.losses, [2, 2])
    np.testing.assert_array_equal(front.controllability(), controllability(front.preferences, front.losses))
    assert front.nonuniformity() == nonuniformity(front.preferences, front.losses)
    assert front.igd() == igd(front.losses, front.true_front)
    assert front.igd_plus() == igd_plus(front.losses, front.true_front)
    assert example().igd() is None
    assert example().igd_plus() is None
    np.testing.assert_array_equal(front.angles(), angles(front.preferences, front.losses))
    assert not np.allclose(front.angles("preference"), front.angles())


def test_hypervolumes_say_reference_and_convention() -> None:
    front = Front(
        tasks=("a", "b"),
        preferences=[[1, 0], [0, 1]],
        losses=[[0.2, 0.6], [0.6, 0.2]],
        metrics={"a/accuracy": [0.9, 0.5], "b/accuracy": [0.4, 0.8], "a/mae": [1, 2], "b/mae": [3, 1], "a/f1": [0, 1]},
        higher_is_better={"a/accuracy": True, "b/accuracy": True, "a/mae": False, "b/mae": False, "a/f1": True},
        split="val",
        reference=(1, 1),
        metric_reference={"a/accuracy": 0.0, "b/accuracy": 0.0, "a/mae": 4.0, "b/mae": 4.0, "a/f1": 0.0},
    )
    found = front.hypervolumes()
    assert list(found) == ["losses", "accuracy", "mae"]
    assert found["losses"] == {
        "value": pytest.approx(0.8 * 0.4 * 2 - 0.4 * 0.4),
        "reference": [1.0, 1.0],
        "convention": "losses minimized, volume below the reference point",
    }
    assert found["accuracy"] == {
        "value": pytest.approx(0.9 * 0.4 + 0.5 * 0.4),
        "reference": [0.0, 0.0],
        "convention": "accuracy maximized, volume above the reference point",
    }
    assert found["mae"] == {
        "value": pytest.approx(3 * 1 + 2 * 3 - 2 * 1),
        "reference": [4.0, 4.0],
        "convention": "mae minimized, volume below the reference point",
    }


def test_a_metric_may_have_another_direction_in_each_task() -> None:
    front = example(
        n=2,
        metrics={"left/score": [1.0, 3.0], "right/score": [2.0, 1.0]},
        higher_is_better={"left/score": True, "right/score": False},
        metric_reference={"left/score": 0.0, "right/score": 4.0},
    )
    found = front.hypervolumes()["score"]
    assert found["value"] == pytest.approx(3 * 3)
    assert found["convention"].startswith("score: left maximized, right minimized;")


def test_hypervolumes_without_reference_or_with_undefined_values_are_left_out() -> None:
    assert list(example(reference=None, metric_reference={"left/accuracy": 0.0}).hypervolumes()) == []
    front = example(n=2)
    undefined: dict[str, Any] = {**front.metrics, "left/accuracy": [0.5, np.nan]}
    assert list(attrs.evolve(front, metrics=undefined).hypervolumes()) == ["losses"]
    with pytest.raises(ValueError, match="no reference point of its own"):
        example(reference=None).hypervolume()


def test_an_estimated_hypervolume_says_so() -> None:
    found = example(12).hypervolumes()["losses"]
    assert found["convention"].endswith("estimated by sampling")
    assert "estimated" not in example(7).hypervolumes()["losses"]["convention"]


def test_select_finds_an_operating_point() -> None:
    front = example()
    row = front.select(where="right/accuracy >= 0.9", maximize="left/accuracy")
    allowed = front.metrics["right/accuracy"] >= 0.9
    assert allowed[row]
    assert front.metrics["left/accuracy"][row] == front.metrics["left/accuracy"][allowed].max()
    assert front.select(minimize="left/loss") == int(front.losses[:, 0].argmin())
    assert front.select(where=["left/preference > 0.35", "left/preference < 0.45"], minimize="left/loss") == 4
    with pytest.raises(ValueError, match="did you mean 'left/accuracy'"):
        front.select(maximize="left/acc")


@pytest.mark.parametrize("m", [1, 2, 3, 7])
def test_json_round_trip(m: int) -> None:
    front = example(m, true_front=np.full((3, m), 0.1))
    assert Front.from_json(front.to_json()) == front
    assert Front.from_json(front.to_json()).to_json() == front.to_json()


@settings(max_examples=60, deadline=None)
@given(losses=clouds(st.integers(1, 4)), seed=st.integers(0, 1000))
def test_json_keeps_every_number(losses: Array, seed: int) -> None:
    tasks = tuple("abcd"[: losses.shape[1]])
    values = np.random.default_rng(seed).normal(size=len(losses))
    values[0] = np.nan
    front = Front(
        tasks=tasks,
        preferences=np.random.default_rng(seed).dirichlet(np.ones(len(tasks)), len(losses)),
        losses=losses,
        metrics={"a/m": values},
        higher_is_better={"a/m": False},
        split="val",
    )
    again = Front.from_json(front.to_json())
    assert again == front
    np.testing.assert_array_equal(again.preferences, front.preferences)
    np.testing.assert_array_equal(again.metrics["a/m"], values)


def test_json_holds_what_follows() -> None:
    front = example(true_front=[[0.1, 0.1]])
    data = json.loads(front.to_json())
    assert list(data) == [
        "format",
        "tasks",
        "split",
        "preferences",
        "losses",
        "metrics",
        "higher_is_better",
        "reference",
        "metric_reference",
        "true_front",
        "nondominated",
        "hypervolume",
        "controllability",
        "nonuniformity",
        "igd",
        "igd_plus",
    ]
    assert data["preferences"] == [[k / 10, (10 - k) / 10] for k in range(11)]
    assert data["losses"] == front.losses.tolist()
    assert data["nondominated"] == front.nondominated().tolist()
    assert data["hypervolume"] == front.hypervolumes()
    assert data["controllability"] == front.controllability().tolist()
    assert "igd" not in json.loads(example().to_json())


def test_json_is_strict_about_what_is_not_a_number() -> None:
    front = example(
        n=2, losses=[[0.5, 0.1], [0.5, 0.2]], metrics={"left/m": [np.nan, 1.0]}, higher_is_better={"left/m": True}
    )

    def refuse(name: str) -> float:
        raise AssertionError(f"{name} is not JSON")

    data = json.loads(front.to_json(), parse_constant=refuse)
    assert data["controllability"][0] is None
    assert data["metrics"]["left/m"] == [None, 1.0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "this is not a front: it lacks tasks, preferences"),
        ("[1]", "holds no JSON object"),
        ("{", "Expecting"),
        ('{"tasks": ["a"]}', "it lacks preferences, losses"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "front-test.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        Front.load(path)
    assert str(path) in str(caught.value)


def test_save_and_load(tmp_path: Path) -> None:
    front = example(3)
    front.save(tmp_path / "front.json")
    assert Front.load(str(tmp_path / "front.json")) == front
    assert [path.name for path in tmp_path.iterdir()] == ["front.json"]


def test_it_is_frozen_and_keeps_its_own_copy() -> None:
    losses = np.array([[0.1, 0.2], [0.2, 0.1]])
    front = example(n=2, losses=losses)
    losses[0, 0] = 9.0
    assert front.losses[0, 0] == 0.1
    with pytest.raises(ValueError, match="read-only"):
        front.losses[0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        front.metrics["left/accuracy"][0] = 1.0
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        front.split = "val"  # type: ignore[misc]


def test_fronts_are_equal_by_value() -> None:
    front = example()
    assert front == example()
    assert front != example(split="val")
    assert front != example(losses=front.losses + 0.1)
    assert front != example(metrics={**front.metrics, "left/mae": front.losses[:, 1]})


def test_preferences_from_float32_are_short_decimals() -> None:
    single = np.array([[0.1, 0.9], [1 / 3, 2 / 3]], dtype=np.float32)
    front = example(n=2, preferences=single.astype(np.float64))
    assert front.preferences[0].tolist() == [0.1, 0.9]
    np.testing.assert_array_equal(front.preferences.astype(np.float32), single)
    double = np.array([[0.1, 0.9], [1 / 3, 2 / 3]])
    np.testing.assert_array_equal(example(n=2, preferences=double).preferences, double)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"losses": [[0.1, 0.2], [np.nan, 0.1]]},
            "the loss of task 'left' is nan in row 1 (preference [1.0, 0.0]) of the test front",
        ),
        ({"losses": [[0.1, np.inf], [0.2, 0.1]]}, "the loss of task 'right' is inf in row 0"),
        ({"losses": [[0.1, 0.2]]}, "losses have shape (1, 2); 2 preferences of 2 tasks need (2, 2)"),
        ({"losses": [0.1, 0.2]}, "expected a matrix"),
        ({"preferences": np.zeros((0, 2)), "losses": np.zeros((0, 2))}, "need (1, 2)"),
        ({"preferences": [[np.nan, 1], [0, 1]]}, "preferences must be finite"),
        ({"tasks": ("left", "left")}, "tasks need different names"),
        ({"tasks": ("left", "a/b")}, "without '/'"),
        ({"metrics": {"middle/accuracy": [1, 1]}}, "found 'middle/accuracy'"),
        ({"metrics": {"accuracy": [1, 1]}}, "found 'accuracy'"),
        ({"metrics": {"left/loss": [1, 1]}}, "found 'left/loss'"),
        ({"metrics": {"left/accuracy": [1]}}, "metric 'left/accuracy' has shape (1,); 2 preferences need (2,)"),
        ({"metrics": {"left/new": [1, 1]}}, "does not say the direction of metric 'left/new'"),
        ({"reference": (1, 1, 1)}, "the reference has 3 numbers for 2 tasks"),
        ({"true_front": [[1, 2, 3]]}, "the true front has 3 columns for 2 tasks"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        example(n=2, **changes)


class StandIn:
    """As much of pandas as a front needs."""

    @staticmethod
    def DataFrame(columns: dict[str, Array]) -> dict[str, Array]:
        return columns


def test_to_frame_has_all_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", StandIn)
    front = example()
    frame = front.to_frame()
    assert list(frame) == [
        "left/preference",
        "right/preference",
        "left/loss",
        "right/loss",
        "left/accuracy",
        "right/accuracy",
        "left/mae",
        "nondominated",
    ]
    np.testing.assert_array_equal(frame["right/loss"], front.losses[:, 1])


def test_to_frame_with_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    frame = example().to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.shape == (11, 8)


def test_to_frame_without_pandas_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MoframeworkError, match="pip install pandas"):
        example().to_frame()


def test_controllability_of_one_preference_is_undefined() -> None:
    assert all(math.isnan(value) for value in example(n=1).controllability())


def test_the_point_of_the_vertices() -> None:
    ends = Front(
        tasks=("a", "b"),
        preferences=[[0, 1], [0.5, 0.5], [1, 0]],
        losses=[[9, 1], [5, 5], [2, 8]],
        metrics={"a/accuracy": [0.1, 0.5, 0.9], "b/accuracy": [0.8, 0.5, 0.2]},
        higher_is_better={"a/accuracy": True, "b/accuracy": True},
        split="test",
        reference=(10, 10),
    )
    point = ends.of_vertices()
    assert point.losses.tolist() == [[2, 1]]
    assert {name: values.tolist() for name, values in point.metrics.items()} == {
        "a/accuracy": [0.9],
        "b/accuracy": [0.8],
    }
    assert point.hypervolume() == 8 * 9
    with pytest.raises(ValueError, match="no point with the whole weight on 'b'"):
        attrs.evolve(ends, preferences=[[0.1, 0.9], [0.5, 0.5], [1, 0]]).of_vertices()


def test_a_front_in_a_line_and_in_a_notebook() -> None:
    assert repr(example(2)) == "Front(left, right; test, 11 points, 4 non-dominated, hypervolume 0.6454)"
    assert repr(example(40)).startswith("Front(t0, t1, t2, t3, t4, t5 and 34 more; test, 81 points, ")
    assert "<svg" in example(2)._repr_html_()


def test_a_plot_is_a_figure_that_a_notebook_shows(tmp_path: Path) -> None:
    figure = example(2).plot(previous=[example(2)], title="now")
    assert figure.get_suptitle().startswith("now · test front")
    figure.savefig(tmp_path / "front.svg")
    assert (tmp_path / "front.svg").stat().st_size > 5000
    assert figure._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="tasks"):
        example(2).plot(previous=[example(3)])
