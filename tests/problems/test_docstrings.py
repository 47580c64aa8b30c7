"""Texts of the standard library, with two labels each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from moframework.problems import docstrings

from moframework import get_problem, solve
from moframework.data import SPLITS, batches
from moframework.errors import DataError
from moframework.testing import check_problem


def test_the_problem_is_what_it_says() -> None:
    problem = get_problem("docstrings")
    check_problem(problem)
    sizes = [len(problem.data(split)) for split in SPLITS]  # type: ignore[arg-type]
    assert 1000 < sum(sizes) < 10_000
    np.testing.assert_allclose(np.array(sizes) / sum(sizes), (0.7, 0.1, 0.2), atol=0.01)
    seen: list[tuple[tuple[int, ...], int]] = []
    for split in SPLITS:
        for item, targets in (problem.data(split)[i] for i in range(len(problem.data(split)))):  # type: ignore[arg-type]
            ids = item["input_ids"]
            assert 3 <= len(ids) <= 64
            assert 1 <= int(ids.min()) <= int(ids.max()) < 4096
            seen.append((tuple(ids.tolist()), int(targets["kind"])))
    kinds = np.bincount([kind for _, kind in seen])
    assert len(kinds) == 3
    assert (kinds > 100).all()


def test_batches_are_padded_to_their_longest_text() -> None:
    data = get_problem("docstrings", words=10).data("train")
    x, targets = next(batches(data, 6, order=None, device="cpu"))
    lengths = [len(data[i][0]["input_ids"]) for i in range(6)]
    assert x["attention_mask"].sum(1).tolist() == lengths
    assert x["input_ids"].shape == (6, max(lengths))
    assert torch.equal(x["input_ids"] > 0, x["attention_mask"])
    assert targets["area"].max() < len(docstrings.AREAS)


def test_what_is_documented() -> None:
    import ast

    text = 'class A:\n "An a."\n def f(self):\n  "It fs."\n  def g(): "Gs it."\n def h(self): pass\ndef i(): "Is."\n'
    found = list(docstrings._documented(ast.parse(text), in_class=False))
    assert found == [("class", "An a."), ("method", "It fs."), ("function", "Gs it."), ("function", "Is.")]


def test_a_python_without_sources_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docstrings.sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(DataError, match="lacks the sources of a part of Python's standard library"):
        docstrings._texts.__wrapped__(64, 4096)


def test_a_short_training_learns(tmp_path: Path) -> None:
    training = {"epochs": 2, "batch_size": 64}
    front = solve(
        {"extends": "docstrings", "training": training, "evaluate": {"points": 3, "every": 0}}, tmp_path
    ).front()
    middle = front.losses[1]
    assert middle[0] < np.log(12)
    assert middle[1] < np.log(3)
