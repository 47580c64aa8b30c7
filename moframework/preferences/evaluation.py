"""The fixed preferences at which a front is evaluated, the same for every solver."""

from __future__ import annotations

from torch import Tensor

from moframework.preferences.simplex import even

__all__ = ["evaluation_set"]


def evaluation_set(m: int, points: int | None = None) -> Tensor:
    """The preferences at which a front of `m` tasks is evaluated.

    Two tasks: even steps, 11 unless told otherwise. Three: the Das–Dennis lattice, 66 points (10 partitions) unless
    told otherwise. Beyond three tasks, and for three where no lattice has that many points: the vertices, the center,
    and then a fixed well-spread set (`simplex.spread`), in all 66 or 2m + 1, whichever is more. One task: the single
    point 1.

    Args:
        m: number of tasks, at least 1.
        points: number of preferences; None for the numbers above. 1 is the center alone.

    Returns:
        (n, m), float32; rows on the simplex.

    Raises:
        ValueError: `points` is below 1, or above 1 but too few for the vertices (and the center, beyond three tasks).

    >>> evaluation_set(2, 3)
    tensor([[0.0000, 1.0000],
            [0.5000, 0.5000],
            [1.0000, 0.0000]])
    """
    if points is None:
        points = {1: 1, 2: 11, 3: 66}.get(m, max(66, 2 * m + 1))
    if m > 3 and 1 < points <= m:
        raise ValueError(
            f"{points} evaluation preferences are too few for {m} tasks: the vertices and the center alone are {m + 1}"
        )
    return even(points, m).float()
