"""`check` goes the whole way on a few samples: what only a training would find is told before it."""

from __future__ import annotations

from typing import Any

import pytest

from moframework import check
from moframework.errors import MoframeworkError
from moframework.run.plan import plan
from moframework.run.rehearsal import rehearse
from tests.run.planted import FAULTS, Normed, planted


@pytest.mark.parametrize("name", FAULTS)
def test_planted_faults_are_told_before_training(name: str) -> None:
    changes, words = FAULTS[name]
    ready = plan(planted(**changes))  # which looks at two samples, and finds nothing
    with pytest.raises(MoframeworkError, match=f"(?s){words}"):
        rehearse(ready)


@pytest.mark.parametrize(
    "changes", [{}, {"network": Normed}, {"network": Normed, "batch_size": 39}, {"precision": "bf16"}]
)
def test_what_is_right_passes(changes: dict[str, Any]) -> None:
    assert check(planted(**changes))
