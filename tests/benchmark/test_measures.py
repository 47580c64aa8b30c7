from __future__ import annotations

import numpy as np
import pytest

from moframework.benchmark.measures import columns_for, common_reference, measure, volume
from moframework.pareto.front import Front


def front(losses: list[list[float]], accuracy: list[list[float]] | None = None, **more: object) -> Front:
    n = len(losses)
    weights = np.linspace(0, 1, n) if n > 1 else np.array([0.5])
    metrics = {}
    if accuracy is not None:
        metrics = {f"{task}/accuracy": np.array(accuracy)[:, t] for t, task in enumerate(("a", "b"))}
    given: dict[str, object] = {
        "tasks": ("a", "b"), "preferences": np.stack([weights, 1 - weights], 1), "losses": losses, "metrics": metrics,
        "higher_is_better": dict.fromkeys(metrics, True), "metric_reference": dict.fromkeys(metrics, 0.0),
        "split": "test", "reference": (1.0, 1.0), **more,
    }  # fmt: skip
    return Front(**given)  # type: ignore[arg-type]


TEST = front([[0.8, 0.2], [0.5, 0.5], [0.2, 0.9]], [[0.5, 0.9], [0.7, 0.8], [0.9, 0.5]])
SUMMARY = {"parameters": 30, "backbone_parameters": 20, "training_seconds": 1.5, "processor_seconds": 1.25}
SUMMARY |= {"peak_memory": {"host": 3 * 2**20}}


def test_measures() -> None:
    validation = front([[0.8, 0.2], [0.5, 0.5], [0.2, 0.9]], [[0.9, 0.9], [0.7, 0.8], [0.8, 0.5]])
    found = measure(TEST, validation, SUMMARY, (1.0, 1.0))
    assert found == pytest.approx({
        "hypervolume/accuracy": 0.5 * 0.9 + 0.2 * 0.8 + 0.2 * 0.5,
        "hypervolume/losses": 0.2 * 0.8 + 0.3 * 0.5 + 0.3 * 0.1,
        "best/a/accuracy": 0.9,
        "best/b/accuracy": 0.9,
        "single/accuracy": 0.7,  # validation is best at the first preference, where test has .5 and .9
        "controllability": -1.0,
        "nondominated": 1.0,
        "parameters": 30,
        "overhead": 0.5,
        "seconds": 1.5,
        "processor_seconds": 1.25,
        "memory": 3.0,
        "preferences": 3.0,
    })  # fmt: skip
    titles = [column.title for column in columns_for(list(found), TEST.higher_is_better)]
    assert titles[:3] == ["hypervolume, accuracy", "hypervolume, losses", "best accuracy, a"]
    assert len(titles) == len(found)


def test_the_true_front() -> None:
    known = front([[0.5, 0.5]], true_front=[[0.5, 0.5], [0.0, 1.0], [1.0, 0.0]])
    found = measure(known, known, SUMMARY, (2.0, 2.0))
    assert found["attained"] == pytest.approx(2.25 / 3.25)
    assert found["igd_plus"] is not None
    assert [c.title for c in columns_for(["igd_plus", "attained"], {})] == ["IGD+", "of the true hypervolume"]


def test_what_is_not_defined_is_none() -> None:
    single = front([[0.5, 0.5]], reference=None)
    found = measure(single, single, {}, None)
    assert found["controllability"] is None
    assert found["hypervolume/losses"] is None
    assert found["parameters"] is None
    assert found["overhead"] is None
    nan = front([[0.5, 0.5], [0.4, 0.6]], [[np.nan, 0.5], [np.nan, 0.6]])
    found = measure(nan, nan, SUMMARY, (1.0, 1.0))
    assert found["best/a/accuracy"] is None
    assert found["best/b/accuracy"] == 0.6
    assert found["single/accuracy"] is None
    assert "hypervolume/accuracy" not in found


def test_one_reference_for_all() -> None:
    other = front([[0.5, 0.5]], reference=(0.9, 2.0))
    assert common_reference([TEST, other]) == (1.0, 2.0)
    assert common_reference([TEST]) == (1.0, 1.0)
    assert common_reference([]) is None
    assert common_reference([TEST, front([[0.5, 0.5]], reference=None)]) is None
    assert volume(other, "losses", (1.0, 2.0)) == pytest.approx(0.75)
    assert volume(TEST, "f1", (1.0, 1.0)) is None


def test_change_against_single_task_networks() -> None:
    """The point is chosen on validation: the second, which on test has accuracies .7 and .8."""
    validation = front([[0.8, 0.2], [0.5, 0.5], [0.2, 0.9]], [[0.5, 0.9], [0.9, 0.9], [0.9, 0.5]])
    ideal = front([[0.1, 9.0], [9.0, 0.1]], [[0.1, 0.8], [1.0, 0.1]])
    # .7 instead of 1 is 30 % worse, .8 instead of .8 equal
    found = measure(TEST, validation, SUMMARY, (1.0, 1.0), single=(ideal, ideal))
    assert found["delta_m"] == pytest.approx(15)
    assert measure(ideal.of_vertices(), ideal.of_vertices(), SUMMARY, (1.0, 1.0), single=(ideal, ideal))["delta_m"] == 0
    assert [column.title for column in columns_for(["delta_m"], {})] == ["Δm, %"]
    unknown = front([[0.1, 9.0], [9.0, 0.1]], [[np.nan, np.nan], [np.nan, np.nan]])
    assert measure(TEST, validation, SUMMARY, (1.0, 1.0), single=(unknown, unknown))["delta_m"] is None
    assert "delta_m" not in measure(TEST, validation, SUMMARY, (1.0, 1.0))
