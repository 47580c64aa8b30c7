"""Numbers that each task has one of, in words: whole for a few tasks, in short for many."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

__all__ = ["point_in_words", "ranks_in_words"]

_MOST = 10  # numbers that are told one by one
_ODD = 3  # that are told beside the number which all others have


def point_in_words(numbers: Sequence[float], tasks: Sequence[str]) -> str:
    """A preference or a reference point.

    >>> point_in_words([0.5, 0.5], ["a", "b"])
    '0.5, 0.5'
    >>> point_in_words([1.0] * 40, [f"t{i}" for i in range(40)])
    '1 for each of 40 tasks'
    >>> point_in_words([0.0] * 7 + [1.0] + [0.0] * 32, [f"t{i}" for i in range(40)])
    '1 for t7, 0 for each other'
    """
    told = [f"{number:g}" for number in numbers]
    if len(told) <= _MOST:
        return ", ".join(told)
    ((common, count),) = Counter(told).most_common(1)
    if count == len(told):
        return f"{common} for each of {count} tasks"
    if len(told) - count > _ODD:
        return ", ".join(told)
    odd = [f"{one} for {task}" for one, task in zip(told, tasks, strict=True) if one != common]
    return f"{', '.join(odd)}, {common} for each other"


def ranks_in_words(ranks: Sequence[float], tasks: Sequence[str]) -> str:
    """What `Front.controllability` has for each task.

    >>> ranks_in_words([-1.0, -0.5], ["a", "b"])
    'a -1.000, b -0.500'
    >>> ranks_in_words([-i / 10 for i in range(11)], "abcdefghijk")
    'mean -0.500 of 11 tasks, from k -1.000 to a 0.000'
    """
    known = sorted((rank, task) for rank, task in zip(ranks, tasks, strict=True) if not math.isnan(rank))
    if len(tasks) <= _MOST or not known:
        told = ("undefined" if math.isnan(rank) else f"{rank:.3f}" for rank in ranks)
        return ", ".join(f"{task} {one}" for task, one in zip(tasks, told, strict=True))
    (low, best), (high, worst) = known[0], known[-1]
    mean = math.fsum(rank for rank, _ in known) / len(known)
    return f"mean {mean:.3f} of {len(known)} tasks, from {best} {low:.3f} to {worst} {high + 0.0:.3f}"
