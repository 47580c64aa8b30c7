"""`Results`: what the finished cells of a benchmark say, seed by seed and as means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import field, frozen

from moframework.benchmark.cells import Cell, chosen
from moframework.benchmark.column import Column
from moframework.benchmark.further import Scale
from moframework.benchmark.spec import Benchmark, ImportedEntry
from moframework.benchmark.statistics.found import Analysis
from moframework.benchmark.tuning import Tuned
from moframework.pareto.front import Front

__all__ = ["CellResult", "Group", "Results", "Row", "Statistic", "formatted", "tables"]

NONE = "–"
_MOST_COLUMNS, _MOST_ROWS, _MOST_GROUPS = 6, 20, 10  # that `print` shows
_MOST_TASKS, _SHOWN_TASKS = 10, 5  # whose columns a table has, and of more tasks


@frozen
class Statistic:
    """One measure over the seeds that have it.

    >>> Statistic((1.0, None, 3.0)).mean
    2.0
    """

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
    """What one cell has come to, or one seed of imported results."""

    seed: int
    cell: Cell | None = field(repr=False)
    """None for imported results."""
    state: str
    message: str | None
    """Why it failed."""
    front: Front | None = field(repr=False)
    """On the split that is reported, when it is done, with the reference point of its group, so that its hypervolume is
    that of the table; None also where imported results have metrics alone."""
    measures: Mapping[str, float | None] = field(repr=False)
    """By key of a column; empty unless it is done."""
    environment: Mapping[str, Any] = field(repr=False)
    """Where it ran: `processor`, `threads`, `torch`, `devices`, `commit`, `time`; empty unless it is done, and for
    imported results."""


@frozen(kw_only=True)
class Row:
    """One contender on one problem.

    >>> from moframework.benchmark.running import run_benchmark
    >>> given = {"problems": ["quadratics"], "solvers": ["pamal", "palora"], "seeds": [0, 1]}
    >>> _, row = run_benchmark(given, "runs/rows", report_only=True).groups[0].rows
    >>> row.solver, len(row.cells), len(row.fronts), row.statistic("hypervolume/losses").mean  # nothing was run
    ('palora', 2, 0, None)
    """

    solver: str
    continuous: bool
    """Whether one model answers every preference."""
    cells: tuple[CellResult, ...]
    """One for each seed; none when nothing could be chosen for it."""
    tuned: Tuned | None
    """None when nothing is tuned."""
    message: str | None
    """Why it has no cells."""
    imported: ImportedEntry | None = None
    """Where its numbers come from, when they are imported."""

    @property
    def apart(self) -> str | None:
        """Why it cannot be held against the other rows, if so."""
        return None if self.imported is None else self.imported.differs

    @property
    def done(self) -> tuple[CellResult, ...]:
        """The finished cells."""
        return tuple(one for one in self.cells if one.state == "done")

    @property
    def fronts(self) -> tuple[Front, ...]:
        """The fronts of the finished seeds, on the split that is reported, all with the group's reference point."""
        return tuple(one.front for one in self.done if one.front is not None)

    def statistic(self, key: str) -> Statistic:
        """A measure over the finished seeds."""
        return Statistic(tuple(one.measures.get(key) for one in self.done))

    def __repr__(self) -> str:
        return f"Row(solver={self.solver!r}, cells={len(self.cells)}, done={len(self.done)})"


@frozen(kw_only=True)
class Group:
    """One problem: its rows, and what they have in common.

    >>> from moframework.benchmark.running import run_benchmark
    >>> given = {"problems": ["quadratics"], "solvers": ["pamal", "palora"], "seeds": [0]}
    >>> (group,) = run_benchmark(given, "runs/groups", report_only=True).groups
    >>> group.problem, [row.solver for row in group.rows]
    ('quadratics', ['pamal', 'palora'])
    """

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

    @property
    def shown(self) -> tuple[Column, ...]:
        """The columns of a table that is read: of more than ten tasks, those of the first five alone. Files that
        programs read have all `columns`."""
        tasks = list(dict.fromkeys(one.task for one in self.columns if one.task is not None))
        left_out = set(tasks[_SHOWN_TASKS:]) if len(tasks) > _MOST_TASKS else set()
        return tuple(one for one in self.columns if one.task not in left_out)

    @property
    def left_out(self) -> str | None:
        """Which columns `shown` leaves out, as a sentence; None where it has all."""
        shown = set(self.shown)
        tasks = list(dict.fromkeys(str(one.task) for one in self.columns if one not in shown))
        if not tasks:
            return None
        count = len(self.columns) - len(shown)
        return f"{count} more columns, of the tasks {tasks[0]} to {tasks[-1]}, are in results.csv and results.json."

    def __repr__(self) -> str:
        return f"Group(problem={self.problem!r}, rows={len(self.rows)})"


@frozen(kw_only=True)
class Results:
    """Everything that a benchmark has found so far. `print` shows a short table of it."""

    benchmark: Benchmark
    groups: tuple[Group, ...]
    environment: Mapping[str, Any]
    """Of the process that made these results; each cell has its own as well."""
    analysis: Analysis | None = None
    """What can be said beside means and deviations; None where the spec asks for no statistics, or there are neither
    two problems nor two seeds."""

    @property
    def cells(self) -> tuple[CellResult, ...]:
        """All cells, problem by problem; imported results have none."""
        rows = (row for group in self.groups for row in group.rows if row.imported is None)
        return tuple(one for row in rows for one in row.cells)

    @property
    def failed(self) -> tuple[str, ...]:
        """What failed, a line each."""
        rows = (
            f"{group.problem}, {row.solver}: {row.message}"
            for group in self.groups for row in group.rows if row.message is not None and row.tuned is not None
            and all(trial.state == "failed" for trial in row.tuned.trials)
        )  # fmt: skip
        cells = ((one.cell.name, one) for one in self.cells if one.cell is not None and one.state == "failed")
        return (*rows, *(f"{name}: {one.message}" for name, one in cells))

    def __repr__(self) -> str:
        done = sum(one.state == "done" for one in self.cells)
        rows = sum(len(group.rows) for group in self.groups)
        return (
            f"Results(benchmark={self.benchmark.name or 'unnamed'!r}, problems={len(self.groups)}, rows={rows}, "
            f"cells={len(self.cells)}, done={done})"
        )

    def __str__(self) -> str:
        lines = [repr(self)]
        for group in self.groups[:_MOST_GROUPS]:
            lines += ["", group.problem, *_aligned(self, group)]
        if len(self.groups) > _MOST_GROUPS:
            lines += ["", f"and {len(self.groups) - _MOST_GROUPS} more problems"]
        if self.failed:
            lines += ["", f"{len(self.failed)} failed: see `failed`"]
        return "\n".join(lines)


def _aligned(results: Results, group: Group) -> list[str]:
    """The first columns and rows of a problem's table, as text."""
    table = tables(results, group)
    rows = [row[:_MOST_COLUMNS] for row in table[: 1 + _MOST_ROWS]]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        numbers = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        lines.append("  ".join([f"  {first.ljust(widths[0])}", *numbers]))
    more = {"columns": len(table[0]) - _MOST_COLUMNS, "contenders": len(table) - len(rows)}
    told = [f"{count} more {what}" for what, count in more.items() if count > 0]
    return [*lines, f"  and {' and '.join(told)}"] if told else lines


def tables(results: Results, group: Group) -> list[list[str]]:
    """The cells of a problem's table as text, of its columns that are `shown`: a row of headings, then one for each
    solver."""
    grid = [] if results.benchmark.tune is None else list(results.benchmark.tune.grid)
    headings = ["solver", "seeds", *(column.title for column in group.shown)]
    rows = [[*headings, *(f"tuned {key.rpartition('.')[2]}" for key in grid)]]
    for row in group.rows:
        cells = [f"{row.solver} ‡" if row.apart else row.solver, _seeds(results, row)]
        cells += [formatted(row.statistic(column.key), column) for column in group.shown]
        rows.append([*cells, *(_chosen(row, key) for key in grid)])
    return rows


def formatted(found: Statistic, column: Column) -> str:
    """Mean ± sample standard deviation; without the latter where there is one seed, or all seeds agree."""
    if found.mean is None:
        return NONE
    scale, unit = (100.0, " %") if column.percent else (1.0, "")
    mean = f"{found.mean * scale:,.{column.digits}f}"
    if not found.std:
        return mean + unit
    return f"{mean} ± {found.std * scale:,.{column.digits}f}{unit}"


def _seeds(results: Results, row: Row) -> str:
    done, wanted = len(row.done), len(results.benchmark.seeds)
    if row.imported is not None:
        return f"{done}, imported"
    return str(done) if done == wanted else f"{done} of {wanted}"


def _chosen(row: Row, key: str) -> str:
    if row.tuned is None or row.tuned.choice is None:
        return NONE
    text = chosen({key: row.tuned.choice[key]})[0].partition("=")[2]
    return f"{text} †" if key in row.tuned.at_edge else text
