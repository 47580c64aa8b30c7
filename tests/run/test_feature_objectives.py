"""Objectives at the features, and Auto-λ, through the conformance suite; what cannot be is refused by the plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moframework import load_spec
from moframework.errors import SpecError
from moframework.run.plan import plan
from moframework.testing import Pair, check_pair

DIGITS = {"name": "digits", "backbone": {"name": "mlp", "hidden": [16]}}


@pytest.mark.parametrize("objective", ["auto_lambda", "bayes_agg", "rotograd"])
def test_conformance(objective: str, tmp_path: Path) -> None:
    pair = Pair(solver={"name": "single", "objective": objective}, problem=DIGITS)
    assert check_pair(pair, tmp_path).state == "solved"


@pytest.mark.parametrize(
    ("problem", "solver", "words"),
    [
        ("quadratics", {"name": "single", "objective": "rotograd"}, "has no head"),
        ("digits", {"name": "palora", "objective": "rotograd"}, "single, multipoint or stl"),
        ({"name": "digits", "backbone": {"name": "lenet", "kernel": 3, "channels": [4]}},
         {"name": "single", "objective": "bayes_agg"}, "must be one linear layer"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_the_first_step(problem: Any, solver: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        plan(load_spec({"problem": problem, "solver": solver}))
