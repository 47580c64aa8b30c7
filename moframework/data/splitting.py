"""The three splits, and how rows are divided among them."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from moframework.config.options import OptionError
from moframework.errors import meant

__all__ = ["SPLITS", "Split", "check_fractions", "check_split", "random_split"]

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


def check_split(name: str) -> Split:
    """`name` if it is a split.

    Raises:
        ValueError: it is none; the text lists them.
    """
    if name not in SPLITS:
        raise ValueError(f"there is no split '{name}'; {meant(name, SPLITS)}allowed: {', '.join(SPLITS)}")
    return name


def check_fractions(fractions: tuple[float, float, float]) -> None:
    """Raises `OptionError`, for the option `fractions`, when the shares of train, val and test do not add up to 1."""
    if abs(sum(fractions) - 1) > 1e-6:
        raise OptionError(f"fractions must add up to 1, but add up to {sum(fractions):g}", "fractions")


def random_split(count: int, fractions: tuple[float, float, float], seed: int) -> npt.NDArray[np.int64]:
    """Split of each of `count` rows, chosen at random: 0 train, 1 val, 2 test; (count,).

    Args:
        count: number of rows.
        fractions: shares of train, val and test, which add up to 1; counts are rounded.
        seed: the same one gives the same split, in every version of numpy.


    >>> np.bincount(random_split(10, (0.7, 0.1, 0.2), seed=0)).tolist()
    [7, 1, 2]
    """
    first, second = round(count * fractions[0]), round(count * (fractions[0] + fractions[1]))
    membership = np.full(count, 2)
    shuffled = np.random.RandomState(seed).permutation(count)
    membership[shuffled[:first]] = 0
    membership[shuffled[first:second]] = 1
    return membership
