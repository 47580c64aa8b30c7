"""What single parts claim: schedules and problems."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import numpy as np
import torch
from torch import Tensor

from moframework.data import SPLITS, TensorData, batches
from moframework.inputs.trees import tensor_leaves
from moframework.pareto.indicators import nondominated
from moframework.preferences import Schedule
from moframework.problem import Problem

__all__ = ["check_problem", "check_schedule"]


def check_schedule(schedule: Schedule, tasks: Iterable[int] = (2, 3, 7)) -> None:
    """Check what a schedule claims: rows on the simplex, pure, and no randomness but the generator's.

    Args:
        schedule: with its options.
        tasks: the numbers of tasks it is for.

    Raises:
        AssertionError: a claim does not hold.
    """
    for m in tasks:
        count = schedule.count(m)
        assert count >= 1, f"{count} preferences a step for {m} tasks"
        for progress in (1e-4, 0.3, 1.0):
            what = f"{count} preferences of {m} tasks at progress {progress}"
            outside = torch.get_rng_state()
            rows = schedule.draw(progress, count, m, _generator())
            assert torch.equal(outside, torch.get_rng_state()), f"{what}: drawn from torch's global generator"
            assert tuple(rows.shape) == (count, m), f"{what}: shape {tuple(rows.shape)}"
            assert (rows.dtype, rows.device.type) == (torch.float32, "cpu"), f"{what}: {rows.dtype} on {rows.device}"
            assert _on_simplex(rows), f"{what}: not on the simplex: {rows.tolist()}"
            torch.rand(3)
            again = schedule.draw(progress, count, m, _generator())
            assert torch.equal(rows, again), f"{what}: the same generator gives other rows the second time"


def check_problem(problem: Problem) -> None:
    """Check what a problem claims: tasks, network and data fit; data is the same at each call; facts fit the tasks.

    Raises:
        AssertionError: a claim does not hold.
        SpecError: tasks, network and data do not fit together.
        DataError: the data is missing.
    """
    problem.check()
    m = len(problem.tasks)
    for split in SPLITS:
        first, again = (_some(problem, split) for _ in range(2))
        for one, other in zip(first, again, strict=True):
            assert torch.equal(one, other), f"the {split} split is another one the second time"
    reference, front = problem.reference, problem.true_front
    if reference is not None:
        assert len(reference) == m, f"the reference point has {len(reference)} numbers for {m} tasks"
        assert all(math.isfinite(value) for value in reference), f"the reference point is {reference}"
    if front is not None:
        assert front.ndim == 2, f"the true front has shape {front.shape}"
        assert front.shape[1] == m, f"the true front has {front.shape[1]} columns for {m} tasks"
        assert np.isfinite(front).all(), "the true front is not finite"
        # A tolerance of rounding: along a face of the front points may tie.
        shrunk = front - 1e-9
        dominated = [bool((front <= point).all(axis=1).any()) for point in shrunk]
        assert not any(dominated), f"{sum(dominated)} points of the true front are dominated by others"
        assert nondominated(front).any(), "the true front has no point"
        if reference is not None:
            assert (front <= np.array(reference)).all(), "the reference point cuts the true front off"


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def _on_simplex(rows: Tensor) -> bool:
    exact = rows.double()
    sums = exact.sum(dim=1)
    return bool(torch.isfinite(exact).all() and (exact >= 0).all() and ((sums - 1).abs() < 1e-5).all())


def _some(problem: Problem, split: str) -> list[Tensor]:
    """The first few samples of a split: input, then targets."""
    data = problem.data(cast("object", split))  # type: ignore[arg-type]
    few = torch.arange(min(8, len(cast(TensorData, data))))
    x, targets = next(batches(data, len(few), order=few, device="cpu"))
    return [*tensor_leaves(x), *targets.values()]
