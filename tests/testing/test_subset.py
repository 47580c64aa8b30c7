from __future__ import annotations

from pathlib import Path

import pytest
import torch

from moframework.config import build, unstructure
from moframework.errors import DataError
from moframework.problem import Problem, get_problem
from moframework.testing import Subset, check_problem


def test_the_same_problem_with_fewer_samples() -> None:
    whole = get_problem("digits", train=64, val=32, test=5)
    few = Subset(problem=whole, samples=8)
    assert (few.tasks, few.network, few.input_shape, few.reference) == (
        whole.tasks, whole.network, whole.input_shape, whole.reference
    )  # fmt: skip
    assert [len(few.data(split)) for split in ("train", "val", "test")] == [8, 8, 5]
    assert torch.equal(few.data("train").inputs, whole.data("train").inputs[:8])  # type: ignore[attr-defined]
    assert few.data("train") is few.data("train"), "read once"
    assert Subset(problem=get_problem("zdt1")).true_front is not None
    check_problem(few)


def test_it_is_written_in_a_spec() -> None:
    few = Subset(problem=get_problem("zdt1", variables=3), samples=2)
    written = unstructure(few)
    assert written["python"] == "moframework.testing.subset:Subset"
    assert build(Problem, written) == few  # type: ignore[type-abstract]
    assert build(Problem, {**written, "python": "moframework.testing:Subset"}) == few  # type: ignore[type-abstract]


def test_missing_data_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="MNIST"):
        Subset(problem=get_problem("multimnist", root=str(tmp_path))).data("train")
