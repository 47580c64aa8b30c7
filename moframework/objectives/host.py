"""Weightings whose small problem, one a preference, is solved on the host, and what such problems share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["onto_simplex", "solved_on_host"]

Array = NDArray[np.float64]


def solved_on_host(solve: Callable[..., Array], like: Tensor, *inputs: Tensor) -> Tensor:
    """`solve` for each row of the inputs, in float64; the rows of its results as one tensor like `like`.

    A row with an input that is not finite is not solved: its result is nan, in the shape of `like`'s row.

    Args:
        solve: takes a row of each input, returns an array of the shape of a row of `like`.
        like: (r, …), tells shape, dtype and device.
        inputs: (r, …) each.
    """
    host = [value.detach().cpu().double().numpy() for value in inputs]
    rows = []
    for j in range(len(like)):
        row = [value[j] for value in host]
        finite = all(np.isfinite(value).all() for value in row)
        rows.append(solve(*row) if finite else np.full(tuple(like.shape[1:]), np.nan))
    return torch.as_tensor(np.stack(rows)).to(like)


def onto_simplex(values: Array) -> Array:
    """The point of the simplex nearest to values (m,) (Held, Wolfe, Crowder 1974).

    >>> onto_simplex(np.array([0.5, 1.5])).tolist()
    [0.0, 1.0]
    """
    ordered = np.sort(values)[::-1]
    excess = (np.cumsum(ordered) - 1) / np.arange(1, len(values) + 1)
    threshold = excess[ordered > excess][-1]
    return np.asarray((values - threshold).clip(min=0))
