"""`check` goes the whole way on a few samples: what only a training would find is told before it."""

from __future__ import annotations

from typing import Any

import pytest

import moframework.run.plan
from moframework import check, solve
from moframework.errors import MoframeworkError
from moframework.run import rehearsal
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


def test_what_is_too_large_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rehearse(plan(planted())) == []
    monkeypatch.setattr(rehearsal, "_FILES", 10)
    (left_out,) = rehearse(plan(planted()))
    assert left_out.startswith("checkpoint, saving and loading were not tried out: ")
    rehearse(plan(planted(**FAULTS["extra state"][0])))  # which only its writing would find
    with pytest.raises(MoframeworkError, match="modified by an inplace operation"):
        rehearse(plan(planted(**FAULTS["changed in place"][0])))


def test_what_does_not_fit_is_not_tried_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "has_room", lambda size, device: False)
    monkeypatch.setattr(moframework.run.plan, "has_room", lambda size, device: False)
    lines = check(planted(**FAULTS["changed in place"][0]))
    assert lines[-1].startswith("tried out   nothing was tried out: a step")
    assert any("too large to compare its gradients" in line for line in lines)


def test_a_training_of_many_steps_is_tried_out_first(tmp_path: Any) -> None:
    with pytest.raises(MoframeworkError, match="answers otherwise"):
        solve(planted(**FAULTS["tensor that is no buffer"][0], steps=101, epochs=None), tmp_path / "run")
    assert not list((tmp_path / "run").rglob("*.pt"))
