"""Δm: how much worse a multi-task model is than one network for each task, in percent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["delta_m"]


def delta_m(values: ArrayLike, single: ArrayLike, higher_is_better: Sequence[bool]) -> NDArray[np.float64]:
    """The mean relative change against single-task learning, in percent; above 0 is worse, below 0 better.

    `Δm = 100/k · Σ_i s_i (M_i − S_i) / |S_i|`, with s_i = −1 where higher is better, else +1. Source: Maninis,
    Radosavovic, Kokkinos, CVPR 2019 (there with the opposite sign); with this sign in CAGrad and Nash-MTL, whose
    tables later papers continue.

    Args:
        values: k criteria (metrics or losses) at n points, (n, k).
        single: the same criteria under single-task learning, (k,).
        higher_is_better: the direction of each criterion.

    Returns:
        (n,); nan where a value is nan, where a reference is nan or 0 and so nothing is relative to it, or where there
        are no criteria.

    Raises:
        ValueError: shapes do not go together.

    >>> delta_m([[0.9, 2.0], [1.0, 1.1]], [1.0, 1.0], [True, False]).round(6).tolist()
    [55.0, 5.0]
    """
    found, ideal = np.asarray(values, dtype=np.float64), np.asarray(single, dtype=np.float64)
    if found.ndim != 2 or ideal.shape != found.shape[1:] or len(higher_is_better) != len(ideal):
        raise ValueError(
            f"values (n, k), single (k,) and k directions are needed, "
            f"but they are {found.shape}, {ideal.shape} and {len(higher_is_better)}"
        )
    if not len(ideal):
        return np.full(len(found), np.nan)
    size = np.where(ideal == 0, np.nan, np.abs(ideal))
    signs = np.where(np.asarray(higher_is_better, dtype=bool), -1.0, 1.0)
    return np.asarray(100 * (signs * (found - ideal) / size).mean(axis=1))
