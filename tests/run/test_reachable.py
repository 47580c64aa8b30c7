"""Conditions that no value of a metric meets."""

from __future__ import annotations

import pytest

from moframework import load_spec
from moframework.errors import SpecError
from moframework.losses import CrossEntropy
from moframework.metrics import MAE, Metric
from moframework.metrics.accuracy import Accuracy
from moframework.pareto.conditions import Condition
from moframework.problem.task import Task
from moframework.run.constraining import conditions_of
from moframework.run.reachable import check_reachable

TASK = Task(name="a", size=2, loss=CrossEntropy(), metrics=(Accuracy(), MAE()))


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("a/accuracy >= 1", True),
        ("a/accuracy > 1", False),
        ("a/accuracy >= 80", False),
        ("a/accuracy <= 80", True),
        ("a/accuracy = 1.005", True),
        ("a/accuracy = 80", False),
        ("a/mae <= 0", True),
        ("a/mae < 0", False),
        ("a/mae >= 1e9", True),
        ("a/loss <= -5", True),
    ],
)
def test_a_condition_beyond_the_best_value_of_its_metric(text: str, holds: bool) -> None:
    condition = Condition.read(text, ["a/accuracy", "a/mae", "a/loss"])
    if holds:
        return check_reachable([condition], [TASK])
    with pytest.raises(ValueError, match=r"holds nowhere, for (0|1) is the best value of a/(accuracy|mae)"):
        check_reachable([condition], [TASK])


def test_constraints_of_a_spec_are_held_to_it() -> None:
    spec = load_spec({"problem": "digits", "solver": "palora", "constraints": {"left/accuracy": ">= 90"}})
    with pytest.raises(SpecError, match=r"constraints.left/accuracy: condition .* for 90 %, write 0.9"):
        conditions_of(spec)


def test_the_best_value_is_on_the_other_side_of_the_worst_one() -> None:
    for name in Metric.names():
        metric = Metric.lookup(name)
        if metric.worst is not None:
            assert metric.best is not None, name
            assert (metric.best > metric.worst) == metric.higher_is_better, name
