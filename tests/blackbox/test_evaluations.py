"""The journal of a search: what was asked, what came back, and where it goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from moframework.blackbox import Evaluation, EvaluationLog, Evaluations
from moframework.errors import DamagedFileError
from moframework.io.journal import append_line


def test_a_log_goes_on_where_it_ended(tmp_path: Path) -> None:
    path, x = tmp_path / "e.jsonl", np.array([[0.1, 0.2], [1 / 3, 0.4], [0.5, 0.6]])
    log = EvaluationLog(path, 2)
    assert (log.pending(), log.batches, len(log.evaluations)) == ([], 0, 0)
    log.ask(x, (1.5, 0.5))
    log.add(np.array([1.0, 2.0]), None, 0.25)
    log.add(None, "ValueError: no mesh", 0.5)
    for again in (log, EvaluationLog(path, 2)):
        assert again.pending() == [(0.5, 0.6)]
        assert again.batches == 1
        assert again.proposing == [(1.5, 0.5)]
        known = again.evaluations
        assert (len(known), known.failed, known[1].error) == (2, 1, "ValueError: no mesh")
        np.testing.assert_array_equal(known.x, x[:1])
        np.testing.assert_array_equal(known.values, [[1.0, 2.0]])


def test_the_front_is_sorted_and_has_no_point_twice() -> None:
    values = [(2.0, 1.0), (1.0, 2.0), (3.0, 3.0), (1.0, 2.0)]
    made = [Evaluation(batch=0, x=(float(i),), values=v, error=None, seconds=0) for i, v in enumerate(values)]
    known = Evaluations(made, 2)
    assert known.front().tolist() == [1, 0]
    assert known[:1].front().tolist() == [0]
    assert Evaluations([], 2).front().tolist() == []


@pytest.mark.parametrize("line", [{"batch": 0, "x": ["a"], "values": [1, 2]}, {"batch": 0, "x": [1.0]}, {"asked": 1}])
def test_lines_of_something_else_are_told(tmp_path: Path, line: dict[str, object]) -> None:
    append_line(tmp_path / "e.jsonl", line)
    with pytest.raises(DamagedFileError, match=r"line 1 of .* is none of a search"):
        EvaluationLog(tmp_path / "e.jsonl", 2)
