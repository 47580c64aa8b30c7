"""Which tasks a step knows something of: where not all labels are known, a batch may have none of a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["StateByTask", "mean_of_present", "present", "solved_for_present", "unknown_of"]

Array = NDArray[np.float64]


def present(losses: Tensor) -> Tensor:
    """Which losses (..., m) are of a task that has samples: all that are not exactly 0.

    A loss of which no sample counts is exactly 0 with gradient 0 (see `Loss`). One that is 0 although samples count is
    taken for such: it asks for nothing either, and a running mean that it is left out of keeps a scale to divide by.
    """
    return losses != 0


def mean_of_present(losses: Tensor) -> Tensor:
    """The mean of losses (..., m) over all but the last dimension, (m,), of each task over where it is present; 0 where
    it never is.

    >>> from torch import tensor
    >>> mean_of_present(tensor([[1.0, 2.0, 0.0], [3.0, 0.0, 0.0]])).tolist()
    [2.0, 2.0, 0.0]
    """
    rows = losses.reshape(-1, losses.shape[-1])
    return rows.sum(dim=0) / present(rows).sum(dim=0).clamp_min(1)


def unknown_of(losses: Tensor, gramians: Tensor) -> Tensor:
    """Which tasks have neither loss nor gradient, (..., m), from losses (..., m) and Gramians (..., m, m)."""
    return ~present(losses) & (gramians.diagonal(dim1=-2, dim2=-1) == 0)


def solved_for_present(solve: Callable[[Array], Array], losses: Array, gramian: Array) -> Array:
    """What `solve` makes of the Gramian (m, m) of the tasks that are present; weights (m,), 0 for the others.

    A common descent direction has to ask nothing of a task that the batch does not know: its gradient of 0 would be the
    shortest combination of all.

    >>> solved_for_present(lambda g: np.ones(len(g)), np.array([1.0, 0.0]), np.diag([1.0, 0.0])).tolist()
    [1.0, 0.0]
    """
    kept = (losses != 0) | (gramian.diagonal() != 0)
    weights = np.zeros(len(losses))
    if kept.any():
        weights[kept] = solve(gramian[np.ix_(kept, kept)])
    return weights


class StateByTask(nn.Module):
    """State whose counts are kept for each task, (r, m); a checkpoint with one count for all tasks loads too."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name, buffer in self.named_buffers(recurse=False):
            found = state_dict.get(prefix + name)
            if found is not None and found.dim() == 0:
                state_dict[prefix + name] = found.expand_as(buffer)
        super()._load_from_state_dict(state_dict, prefix, *rest)
