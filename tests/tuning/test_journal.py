from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from moframework.config import build
from moframework.errors import MoframeworkError
from moframework.tuning.journal import JOURNAL, Journal
from moframework.tuning.spec import Pruning, Search

SEARCH: Search = build(
    Search,
    {
        "ranges": {
            "solver.alpha": {"log": [1e-4, 1]},
            "solver.rank": {"integers": [1, 8]},
            "training.scheduler": {"choices": [None, {"name": "step"}, True, 1]},
        },
        "startup": 3,
    },
)


def tried(folder: Path, count: int, journal: Journal | None = None) -> Journal:
    """A journal with so many more trials, of which every fourth fails."""
    journal = Journal(folder, SEARCH) if journal is None else journal
    for _ in range(count):
        number = journal.begin()
        choice = journal.trials(SEARCH.ranges)[-1].choice
        if number % 4 == 3:
            journal.end(number, "nonfinite", message="nan")
        else:
            journal.end(number, "done", choice["solver.alpha"] * choice["solver.rank"])
    return journal


def test_what_is_tried_follows_from_seed_and_history(tmp_path: Path) -> None:
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = tried(tmp_path / "whole", 9)
    for count in (2, 4, 3):
        parts = tried(tmp_path / "parts", count)  # read anew from the file
    assert parts.trials(SEARCH.ranges) == whole.trials(SEARCH.ranges)
    assert len({str(one.choice) for one in whole.trials(SEARCH.ranges)}) == 9
    assert [one.state for one in whole.trials(SEARCH.ranges)].count("nonfinite") == 2


def test_what_a_killed_process_left_of_a_line_is_removed(tmp_path: Path) -> None:
    journal = tried(tmp_path, 2)
    whole = (tmp_path / JOURNAL).read_bytes()
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b'{"op_code": 4, "wor')
    journal.note(seconds=1.5)
    assert (tmp_path / JOURNAL).read_bytes().startswith(whole + b'{"op_code":2')
    assert len(Journal(tmp_path).trials(SEARCH.ranges)) == 2
    assert Journal(tmp_path).facts == {"seconds": 1.5}


def test_the_own_values_come_first_and_once(tmp_path: Path) -> None:
    own: dict[str, Any] = {"solver.alpha": 0.5, "solver.rank": 2, "training.scheduler": {"name": "step"}}
    journal = Journal(tmp_path, SEARCH)
    journal.try_first(own)
    journal.try_first(own)
    assert journal.trials(SEARCH.ranges) == []
    tried(tmp_path, 2, journal)
    journal.try_first(own)
    first, second = journal.trials(SEARCH.ranges)
    assert (first.choice, first.is_own, first.hypervolume) == (own, True, 1.0)
    assert not second.is_own


def test_pruning_by_earlier_trials_at_the_same_epoch(tmp_path: Path) -> None:
    journal, pruning = Journal(tmp_path, SEARCH), Pruning(startup=2, keep=0.5, warmup=1)
    behind = []
    for heights in ((5.0, 6.0, 7.0), (1.0, 2.0, 3.0), (0.5, 3.0, 4.0), (9.0, 9.0, 4.0), (2.0, 1.0, 9.0)):
        number = journal.begin()
        own = []
        for epoch, height in enumerate(heights, 1):
            journal.report(number, epoch, height)
            own.append(journal.is_behind(number, pruning))
        behind.append(own)
        journal.end(number, "done", heights[-1])
    # Medians at epoch 2: of (6, 2) 4, of (6, 2, 3) 3, of (6, 2, 3, 9) 4.5; a trial counts with its best so far.
    assert behind[0] == behind[1] == [False, False, False]
    assert behind[2] == [False, True, True]
    assert behind[3] == [False, False, False]
    assert behind[4] == [False, True, False]


def test_a_validation_is_kept_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path, SEARCH)
    number = journal.begin()
    for height in (0.5, 0.7):
        journal.report(number, 1, height)
    assert journal.validations(number) == {1: 0.5}
    assert journal.trials(SEARCH.ranges)[0].state == "unfinished"


def test_importances(tmp_path: Path) -> None:
    assert tried(tmp_path, 3).importances(0) is None
    found = tried(tmp_path, 12).importances(0)
    assert found is not None
    assert sum(found.values()) == pytest.approx(1)
    assert max(found, key=found.__getitem__) == "solver.alpha"  # four decades, against a factor of eight
    assert found == Journal(tmp_path).importances(0)


def test_without_optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "moframework.tuning.journal")
    with pytest.raises(
        MoframeworkError, match=r"needs optuna, which is not installed: pip install 'moframework\[tune\]'"
    ):
        importlib.import_module("moframework.tuning.journal")
