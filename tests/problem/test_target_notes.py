"""What is told of targets that do not vary, and of those that one sample flattens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from moframework.data import TensorData
from moframework.losses import MSE, CrossEntropy
from moframework.problem import get_problem
from moframework.problem.target_notes import target_notes
from moframework.problem.task import Task

TASKS = (Task(name="price", loss=MSE()), Task(name="kind", loss=CrossEntropy(), size=3))


def told(price: Tensor, kind: Tensor | None = None, origins: list[str] | None = None) -> list[str]:
    n = len(price)
    kind = torch.arange(n) % 3 if kind is None else kind
    inputs = torch.arange(float(2 * n)).reshape(n, 2)
    return target_notes(TASKS, TensorData(inputs, {"price": price, "kind": kind}, origins=origins))


def test_one_sample_that_flattens_the_rest() -> None:
    price = torch.randn(200, generator=torch.Generator().manual_seed(0))
    price[7] = -4000.0
    (note,) = told(price, origins=[f"t.csv, line {i}" for i in range(200)])
    rest = float(np.delete(price.double().numpy(), 7).std())
    whole = float(price.double().std(correction=0))
    assert note.startswith("target 'price' is -4000 in t.csv, line 7, far from all others: ")
    assert f"the standard deviation is {rest:.3g} rather than {whole:.3g}" in note
    assert "in sample 7 (counted from 0)" in told(price)[0]
    assert "in sample 7 " in told(price[:, None])[0], "one number a sample in a column of its own"


@pytest.mark.parametrize("seed", range(5))
def test_targets_as_they_are_usually(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for values in (
        rng.normal(size=50),
        rng.exponential(size=500),
        rng.lognormal(0, 1, 500),
        rng.standard_t(3, 500),
        np.r_[np.zeros(90), np.ones(10)],
    ):
        assert told(torch.from_numpy(values).float()) == []


def test_targets_that_do_not_vary() -> None:
    assert told(torch.full((9,), 2.5)) == ["target 'price' is 2.5 in all training samples: there is nothing to learn"]
    assert "target 'kind' is 1 in all" in told(torch.arange(9.0), torch.ones(9, dtype=torch.long))[0]
    maps = torch.zeros(4, 2, 2)
    assert "target 'price' is 0 in all" in told(maps)[0]
    maps[0, 0, 0] = 1e9
    assert told(maps) == [], "maps have many numbers a sample"


def test_what_cannot_be_judged() -> None:
    assert told(torch.tensor([1.0, 2.0, 3.0, 1e9])) == [], "four samples are too few"
    price = torch.arange(50.0)
    price[3] = float("nan")
    assert told(price) == []
    assert told(torch.full((9,), float("nan"))) == []
    assert target_notes(TASKS, torch.utils.data.Subset(TensorData(price, {}), [0])) == []


def test_analytic_problems_have_no_samples_to_learn_from() -> None:
    problem = get_problem("zdt1")
    assert target_notes(problem.tasks, problem.data("train")) == []
