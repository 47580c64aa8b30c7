"""What an analysis of a benchmark holds: plain values, one class a notion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from moframework.benchmark.column import Column
from moframework.benchmark.statistics.interval import Interval
from moframework.benchmark.statistics.pairs import Blocks, Pair
from moframework.benchmark.statistics.ranking import Friedman
from moframework.benchmark.statistics.spec import Statistics
from moframework.errors import shortened

__all__ = [
    "Analysis",
    "Attainment",
    "Compared",
    "Course",
    "MeanOfSeeds",
    "Profile",
    "Ranking",
    "Surfaces",
    "Training",
]

Array = NDArray[np.float64]

_MOST_MEASURES, _MOST_LINES, _WIDEST = 5, 20, 200  # that `print` shows


@frozen(kw_only=True)
class MeanOfSeeds:
    """A measure of one contender on one problem."""

    problem: str
    solver: str
    values: tuple[float, ...]
    """Of the finished seeds that have one."""
    mean: float | None
    std: float | None
    interval: Interval


@frozen(kw_only=True)
class Ranking:
    """Ranks over the problems that all contenders have finished."""

    problems: int
    solvers: tuple[str, ...]
    ranks: tuple[float, ...]
    """The mean rank of each; 1 is best."""
    friedman: Friedman | None
    """None for two contenders, and where all are tied everywhere."""
    critical_difference: float | None
    """Of Nemenyi; None where `friedman` is."""
    groups: tuple[tuple[str, ...], ...]
    """Contenders whose ranks do not differ by that much."""


@frozen(kw_only=True)
class Profile:
    """A performance profile over problems and seeds."""

    solvers: tuple[str, ...]
    ratios: Array
    """(problems × seeds, solvers); inf where a contender has no value."""


@frozen(kw_only=True)
class Compared:
    """One measure, compared."""

    column: Column
    means: tuple[MeanOfSeeds, ...]
    blocks: Blocks | None
    """What contenders were paired over; None where nothing could be paired."""
    ranking: Ranking | None
    pairs: tuple[Pair, ...]
    profile: Profile | None
    notes: tuple[str, ...]
    """What was left out and why, a sentence each."""


@frozen(kw_only=True)
class Surfaces:
    """What the fronts of one contender attain."""

    solver: str
    fronts: tuple[Array, ...]
    """The losses of each seed."""
    levels: tuple[int, ...]
    """How many seeds attain each surface at least: all of them, half, one."""
    corners: tuple[Array, ...]
    """Of the surface of each level."""
    hypervolumes: tuple[float | None, ...]
    """Of each surface, below the reference point of the problem; None without one."""


@frozen(kw_only=True)
class Attainment:
    """Attainment surfaces on one problem."""

    problem: str
    tasks: tuple[str, ...]
    rows: tuple[Surfaces, ...]
    notes: tuple[str, ...]


@frozen(kw_only=True)
class Training:
    """The course of one training."""

    seed: int
    seconds: Array
    """(k,) of training steps before each validation."""
    processor_seconds: Array
    hypervolumes: Array
    """(k,) of the validation losses."""


@frozen(kw_only=True)
class Course:
    """Validation hypervolume over time on one problem."""

    problem: str
    trainings: tuple[tuple[str, tuple[Training, ...]], ...]
    """By contender."""
    target: float | None
    """What a training has to reach: a share of the largest hypervolume of all; None where nothing is known."""
    notes: tuple[str, ...]


@frozen(kw_only=True)
class Analysis:
    """All that is said beside means and deviations. `print` shows a short form of it.

    >>> from moframework.benchmark.statistics.spec import Statistics
    >>> Analysis(options=Statistics(), measures=(), attainments=(), courses=(), notes=("Two seeds are few.",))
    Analysis(measures=0, attainments=0, courses=0, notes=1)
    """

    options: Statistics
    measures: tuple[Compared, ...]
    attainments: tuple[Attainment, ...]
    courses: tuple[Course, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        counts = {key: len(getattr(self, key)) for key in ("measures", "attainments", "courses", "notes")}
        return f"Analysis({', '.join(f'{key}={count}' for key, count in counts.items())})"

    def __str__(self) -> str:
        lines = [repr(self)]
        for one in self.measures[:_MOST_MEASURES]:
            lines += ["", one.column.key, *_listed([_told(mean) for mean in one.means])]
        if len(self.measures) > _MOST_MEASURES:
            lines += ["", f"and {len(self.measures) - _MOST_MEASURES} more measures"]
        parts = (self.notes, *(one.notes for one in self.measures))
        parts += (*(one.notes for one in self.attainments), *(one.notes for one in self.courses))
        notes = [note for told in parts for note in told]
        return "\n".join([*lines, *(["", "notes", *_listed(notes)] if notes else [])])


def _told(one: MeanOfSeeds) -> str:
    """A mean in a line, with its interval where it has one."""
    mean = "–" if one.mean is None else f"{one.mean:.4g}"
    low, high = one.interval.low, one.interval.high
    between = "" if low is None or high is None else f", from {low:.4g} to {high:.4g}"
    return f"{one.problem}, {one.solver}: {mean}{between}"


def _listed(lines: Sequence[str]) -> list[str]:
    """Lines below a heading, the first of many."""
    more = [f"  and {len(lines) - _MOST_LINES} more"] if len(lines) > _MOST_LINES else []
    return [*(f"  {shortened(line, _WIDEST)}" for line in lines[:_MOST_LINES]), *more]
