from __future__ import annotations

import math

import attrs
import numpy as np

from moframework.loggers import scalars
from tests.loggers.telling import front


def test_the_best_of_a_metric_that_is_sometimes_nan() -> None:
    metrics = {"left/accuracy": np.array([math.nan, 0.7, 0.3]), "right/accuracy": np.full(3, math.nan)}
    found = scalars.of_front(attrs.evolve(front(10), metrics=metrics), 0.5)
    assert found["best_metric/left/accuracy"] == 0.7
    assert math.isnan(found["best_metric/right/accuracy"])
    assert "validation/hypervolume_accuracy" not in found, "a hypervolume of nan is none"


def test_final_numbers_are_of_each_split() -> None:
    val, test = front(10), attrs.evolve(front(20), split="test")
    found = scalars.of_results({"val": val, "test": test})
    assert found["val/hypervolume"] == val.hypervolume()
    assert found["test/hypervolume"] == test.hypervolume()
    assert found["test/best_loss/left"] == test.losses[:, 0].min()


def test_a_direction_is_respected() -> None:
    down = attrs.evolve(front(10), higher_is_better=dict.fromkeys(front(10).metrics, False))
    assert scalars.of_front(down, 0.5)["best_metric/left/accuracy"] == 0.3


def test_a_spec_in_one_level() -> None:
    spec = {"a": {"b": None, "c": [], "d": {}}, "e": [{"f": True}, [1]], "g": 1.5}
    assert scalars.flat(spec) == {"a.b": "null", "a.c": "[]", "a.d": "{}", "e.0.f": True, "e.1": "[1]", "g": 1.5}
