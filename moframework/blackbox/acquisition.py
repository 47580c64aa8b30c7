"""Which of many candidates to evaluate: those that enlarge the hypervolume most, together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from moframework.pareto.indicators import hypervolume

__all__ = ["greedy_batch", "hypervolume_improvement"]

Array = npt.NDArray[np.float64]

_MARGIN = 0.1


def hypervolume_improvement(candidates: Array, front: Array, reference: Array) -> Array:
    """By how much each candidate (c, m) alone would enlarge the hypervolume of a front (k, m) below a reference point:
    (c,), none negative.

    >>> front, reference = np.array([[1.0, 1.0]]), np.array([2.0, 2.0])
    >>> hypervolume_improvement(np.array([[0.5, 0.5], [2.0, 0.1]]), front, reference).tolist()
    [1.25, 0.0]
    """
    before = hypervolume(front, reference)
    found = np.zeros(len(candidates))
    for i in np.flatnonzero(_may_improve(candidates, front, reference)):
        found[i] = max(hypervolume(np.vstack([front, candidates[i]]), reference) - before, 0.0)
    return found


def greedy_batch(candidates: Array, front: Array, count: int, generator: np.random.Generator) -> list[int]:
    """The rows of `count` candidates, chosen one after the other, each by the improvement over front and those before
    it; where none improves, one at random that was not chosen yet.

    As in the released code of PSL-MOBO (Xi-L/PSL-MOBO, 5abce23), but for the reference point: there the componentwise
    largest of front, chosen ones and candidates, below which the ends of a front gain nothing; here a tenth of the
    range beyond that.

    Args:
        candidates: (c, m), predicted values; c at least `count`.
        front: (k, m), evaluated values.
    """
    chosen: list[int] = []
    for _ in range(count):
        every = np.vstack([front, candidates])
        largest = every.max(axis=0)
        reference = largest + _MARGIN * (largest - every.min(axis=0))
        gains = hypervolume_improvement(candidates, front, reference)
        gains[chosen] = 0.0
        left = np.setdiff1d(np.arange(len(candidates)), chosen)
        best = int(gains.argmax()) if gains.max() > 0 else int(generator.choice(left))
        chosen.append(best)
        front = np.vstack([front, candidates[best]])
    return chosen


def _may_improve(candidates: Array, front: Array, reference: Array) -> npt.NDArray[np.bool_]:
    """Which candidates are below the reference point and no worse than every point of the front in something."""
    covers: npt.NDArray[np.bool_] = np.all(front[None] <= candidates[:, None], axis=2)
    found: npt.NDArray[np.bool_] = np.all(candidates < reference, axis=1) & ~np.any(covers, axis=1)
    return found
