"""`Results`: what the finished cells of a benchmark say, seed by seed and as means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen

from moframework.benchmark.cells import Cell
from moframework.benchmark.column import Column
from moframework.benchmark.further import Scale, common_scale, further
from moframework.benchmark.measures import columns_for, common_reference, measure
from moframework.benchmark.spec import Benchmark
from moframework.benchmark.tuning import Tuned
from moframework.pareto.front import Front
from moframework.run.environment import environment
from moframework.run.run import Run

__all__ = ["CellResult", "Group", "Results", "Row", "Statistic", "collect"]


@frozen
class Statistic:
    """One measure over the seeds that have it."""

    values: tuple[float | None, ...]
    """One for each finished seed, in the order of the row's seeds."""

    @property
    def known(self) -> list[float]:
        """The values that are defined."""
        return [value for value in self.values if value is not None]

    @property
    def mean(self) -> float | None:
        """Mean over seeds; None without a value."""
        return float(np.mean(self.known)) if self.known else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation over seeds (n − 1 in the denominator); None with fewer than two values."""
        return float(np.std(self.known, ddof=1)) if len(self.known) > 1 else None


@frozen(kw_only=True)
class CellResult:
    """What one cell has come to."""

    cell: Cell
    state: str
    message: str | None
    """Why it failed."""
    front: Front | None
    """On test, when it is done."""
    measures: Mapping[str, float | None]
    """By key of a column; empty unless it is done."""
    environment: Mapping[str, Any]
    """Where it ran: `processor`, `threads`, `torch`, `devices`, `commit`, `time`; empty unless it is done."""


@frozen(kw_only=True)
class Row:
    """One contender on one problem."""

    solver: str
    continuous: bool
    """Whether one model answers every preference."""
    cells: tuple[CellResult, ...]
    """One for each seed; none when nothing could be chosen for it."""
    tuned: Tuned | None
    """None when nothing is tuned."""
    message: str | None
    """Why it has no cells."""

    @property
    def done(self) -> tuple[CellResult, ...]:
        """The finished cells."""
        return tuple(one for one in self.cells if one.state == "done")

    @property
    def fronts(self) -> tuple[Front, ...]:
        """The test fronts of the finished seeds."""
        return tuple(one.front for one in self.done if one.front is not None)

    def statistic(self, key: str) -> Statistic:
        """A measure over the finished seeds."""
        return Statistic(tuple(one.measures.get(key) for one in self.done))


@frozen(kw_only=True)
class Group:
    """One problem: its rows, and what they have in common."""

    problem: str
    rows: tuple[Row, ...]
    reference: tuple[float, ...] | None
    """Reference point of the loss hypervolume of every row; None when nothing is finished."""
    stated: bool
    """Whether the runs agreed on it, rather than each having its own."""
    scale: Scale | None
    """Ideal and nadir of all rows, in which normalized columns and R2 are measured; None when nothing is finished."""
    conventions: Mapping[str, str]
    """What each hypervolume means, by name."""
    columns: tuple[Column, ...]


@frozen(kw_only=True)
class Results:
    """Everything that a benchmark has found so far."""

    benchmark: Benchmark
    groups: tuple[Group, ...]
    environment: Mapping[str, Any]
    """Of the process that made these results; each cell has its own as well."""

    @property
    def cells(self) -> tuple[CellResult, ...]:
        """All cells, problem by problem."""
        return tuple(one for group in self.groups for row in group.rows for one in row.cells)

    @property
    def failed(self) -> tuple[str, ...]:
        """What failed, a line each."""
        rows = (
            f"{group.problem}, {row.solver}: {row.message}"
            for group in self.groups for row in group.rows if row.message is not None and row.tuned is not None
            and all(trial.state == "failed" for trial in row.tuned.trials)
        )  # fmt: skip
        return (*rows, *(f"{one.cell.name}: {one.message}" for one in self.cells if one.state == "failed"))


def collect(
    benchmark: Benchmark,
    cells: Mapping[tuple[int, int], Sequence[Cell]],
    tuned: Mapping[tuple[int, int], Tuned],
) -> Results:
    """Read what the cells have found.

    Args:
        benchmark: what they belong to.
        cells: of each pair of problem and solver (positions in `benchmark`), one a seed; none when nothing was chosen.
        tuned: what tuning found for each pair; empty when nothing is tuned.
    """
    groups = tuple(_group(benchmark, problem, cells, tuned) for problem in range(len(benchmark.problems)))
    return Results(benchmark=benchmark, groups=groups, environment=environment())


@frozen(kw_only=True)
class _Common:
    """What all cells of one problem are measured by."""

    names: Sequence[str]
    """Further columns that the spec asks for."""
    reference: tuple[float, ...] | None
    scale: Scale | None
    singles: Mapping[int, tuple[Front, Front]]
    """Reported and validation front of the single-task networks, by seed."""


def _group(
    benchmark: Benchmark,
    problem: int,
    cells: Mapping[tuple[int, int], Sequence[Cell]],
    tuned: Mapping[tuple[int, int], Tuned],
) -> Group:
    solvers = range(len(benchmark.solvers))
    fronts = {
        one.folder: one.front(benchmark.report) for s in solvers for one in cells[problem, s] if one.state == "done"
    }
    common = _Common(
        names=benchmark.columns, reference=common_reference(list(fronts.values())),
        scale=common_scale(list(fronts.values())), singles=_single_task(benchmark, problem, cells, fronts),
    )  # fmt: skip
    rows = []
    for s in solvers:
        found = tuned.get((problem, s))
        rows.append(Row(
            solver=benchmark.solvers[s].title,
            continuous=type(benchmark.solvers[s].solver).continuous,
            cells=tuple(_result(one, fronts.get(one.folder), common) for one in cells[problem, s]),
            tuned=found,
            message=None if found is None or found.choice is not None else _unchosen(found),
        ))  # fmt: skip
    return _grouped(benchmark.problems[problem].title, rows, list(fronts.values()), common)


def _grouped(title: str, rows: Sequence[Row], fronts: Sequence[Front], common: _Common) -> Group:
    keys = dict.fromkeys(key for row in rows for one in row.done for key in one.measures)
    upwards = {name: up for front in fronts for name, up in front.higher_is_better.items()}
    return Group(
        problem=title, rows=tuple(rows), reference=common.reference, scale=common.scale,
        stated=len({front.reference for front in fronts}) <= 1,
        conventions={name: v["convention"] for front in fronts for name, v in front.hypervolumes().items()},
        columns=columns_for(list(keys), upwards),
    )  # fmt: skip


def _single_task(
    benchmark: Benchmark, problem: int, cells: Mapping[tuple[int, int], Sequence[Cell]], fronts: Mapping[Path, Front]
) -> dict[int, tuple[Front, Front]]:
    """Reported and validation fronts, by seed, of the first contender that is single-task learning, if any."""
    for s, entry in enumerate(benchmark.solvers):
        if type(entry.solver).single_task:
            done = [one for one in cells[problem, s] if one.folder in fronts]
            return {one.seed: (one.run.front(benchmark.report), one.run.front("val")) for one in done}
    return {}


def _result(one: Cell, front: Front | None, common: _Common) -> CellResult:
    measures: dict[str, float | None] = {}
    place: dict[str, Any] = {}
    if front is not None:
        measures = measure(
            front, one.front("val"), one.run.summary(), common.reference, exact=_exact(one, common.reference),
            single=common.singles.get(one.seed), more=further(front, common.names, common.scale),
        )  # fmt: skip
        place = _place(one.run)
    return CellResult(cell=one, state=one.state, message=one.message, front=front, measures=measures, environment=place)


def _exact(one: Cell, reference: Sequence[float] | None) -> float | None:
    """Hypervolume of the whole true front, where the problem knows it for this reference point."""
    try:
        return None if reference is None else one.spec.problem.hypervolume(reference)
    except ValueError:  # a reference point nearer than the front's ends
        return None


def _place(run: Run) -> dict[str, Any]:
    """What of a run's environment decides over times and numbers."""
    full = run.environment()
    return {
        "time": full["time"],
        "processor": full["platform"]["processor"],
        "cpus": full["platform"]["cpus"],
        "threads": full["torch"]["threads"],
        "devices": full["torch"]["devices"],
        "torch": full["torch"]["version"],
        "moframework": full["packages"].get("moframework"),
        "git": full["git"],
    }


def _unchosen(found: Tuned) -> str:
    """Why tuning chose nothing."""
    messages = [trial.message for trial in found.trials if trial.message is not None]
    if len(messages) == len(found.trials):
        return f"every run of the grid failed, the first with: {messages[0]}"
    return "the runs that tune it are not finished"
