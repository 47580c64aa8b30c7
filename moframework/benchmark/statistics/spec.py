"""The options of a benchmark's statistics."""

from __future__ import annotations

from typing import Literal

from moframework.config import config, option
from moframework.config.options import OptionError

__all__ = ["Statistics"]


@config
class Statistics:
    """How the contenders of a benchmark are compared, beside means and deviations."""

    measures: tuple[str, ...] = option(
        (), help="keys of the columns that are compared, as results.json and results.csv name them, such as "
        "`hypervolume/losses` and `processor_seconds`; none: every hypervolume",
    )  # fmt: skip
    confidence: float = option(0.95, gt=0, lt=1, help="of intervals, and of the critical difference of ranks")
    interval: Literal["t", "bootstrap"] = option(
        "t", help="Student's t, which takes values as normal; or the bootstrap (BCa), for ten seeds or more"
    )
    rope: float = option(
        0.0, ge=0, help="region of practical equivalence: differences of a measure up to this count as equal in the "
        "Bayesian comparison",
    )  # fmt: skip

    def __attrs_post_init__(self) -> None:
        if len(set(self.measures)) < len(self.measures):
            raise OptionError("measures names a column twice", "measures")
