from __future__ import annotations

import re

import numpy as np
import pytest

from moframework.pareto.conditions import Condition

NAMES = ["left/loss", "left/accuracy"]


@pytest.mark.parametrize(
    ("text", "values", "holds", "excess"),
    [
        ("left/loss <= 0.3", [0.2, 0.3, 0.5, np.nan], [True, True, False, False], [0, 0, 0.2, np.inf]),
        ("left/loss < 0.3", [0.2, 0.3], [True, False], [0, 0]),
        ("left/accuracy>=.9", [0.8, 0.95], [False, True], [0.1, 0]),
        ("left/loss = 0.5", [0.495, 0.5, 0.6], [True, True, False], [0, 0, 0.095]),
        ("left/loss = 0 +- 1e-1", [0.1, -0.3], [True, False], [0, 0.2]),
    ],
)
def test_what_holds_and_by_how_much_it_is_missed(
    text: str, values: list[float], holds: list[bool], excess: list[float]
) -> None:
    condition = Condition.read(text, NAMES)
    assert condition.holds(np.array(values)).tolist() == holds
    np.testing.assert_allclose(condition.excess(np.array(values)), excess, atol=1e-12)
    assert Condition.read(str(condition), NAMES) == condition


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("left/acc >= 1", "no column 'left/acc': did you mean 'left/accuracy'?"),
        ("left/loss = 0", "say within what it is to hold: 0 ± 0.01"),
        ("left/loss = inf", "say within what it is to hold"),
        ("left/loss < 1 ± 0.1", "only = has a tolerance"),
        ("left/loss == 1", "cannot read condition 'left/loss == 1'"),
        ("left/loss = 1 ± little", "'little' is not a number"),
        ("left/loss > 70%", "'70%' is not a number; write 0.7"),
    ],
)
def test_what_cannot_be_read(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        Condition.read(text, NAMES)
