"""Fronts and their ingredients for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from moframework.pareto import Front
from moframework.preferences import evaluation_set

Array = NDArray[np.float64]


def clouds(m: int | st.SearchStrategy[int], most: int = 12, grid: bool = False) -> st.SearchStrategy[Array]:
    """(n, m) losses in [0, 1]; with `grid` from few values, so that ties and duplicates are common."""
    value = st.integers(0, 4).map(lambda k: k / 4) if grid else st.floats(0, 1, width=32)
    columns = st.just(m) if isinstance(m, int) else m
    return columns.flatmap(
        lambda c: st.integers(1, most).flatmap(lambda n: hnp.arrays(np.float64, (n, c), elements=value))
    )


def naive_nondominated(points: Array) -> list[bool]:
    """The definition, point by point."""
    return [
        not any((other <= point).all() and (other < point).any() for k, other in enumerate(points) if k != j)
        for j, point in enumerate(points)
    ]


def example(m: int = 2, n: int | None = None, **changes: Any) -> Front:
    """A convex front with an accuracy for every task and a second metric for the first; noise makes some dominated."""
    tasks = ("left", "right", "bottom", "age", "gender", "smile")[:m] if m <= 6 else tuple(f"t{i}" for i in range(m))
    preferences = evaluation_set(m, n).numpy()
    noise = np.random.default_rng(0).normal(scale=0.01, size=preferences.shape)
    losses = 0.2 + 0.5 * (1 - preferences) ** 4 + noise
    given: dict[str, Any] = {
        "tasks": tasks,
        "preferences": preferences,
        "losses": losses,
        "metrics": {f"{task}/accuracy": 1 - losses[:, t] / 3 for t, task in enumerate(tasks)}
        | {f"{tasks[0]}/mae": losses[:, 0]},
        "higher_is_better": {f"{task}/accuracy": True for task in tasks} | {f"{tasks[0]}/mae": False},
        "split": "test",
        "reference": (1,) * m,
        "metric_reference": {f"{task}/accuracy": 0.0 for task in tasks},
    }
    return Front(**{**given, **changes})
