"""`collect`: the cells of a benchmark to its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from moframework.benchmark.cells import Cell
from moframework.benchmark.further import OF_PREFERENCES, Scale, common_scale, further
from moframework.benchmark.imported import ImportedFront
from moframework.benchmark.measures import columns_for, common_reference, measure
from moframework.benchmark.results import CellResult, Group, Results, Row
from moframework.benchmark.spec import Benchmark, ImportedEntry
from moframework.benchmark.statistics.analysis import analyze
from moframework.benchmark.tuning import Tuned
from moframework.pareto.front import Front
from moframework.problem import Problem
from moframework.run.environment import environment
from moframework.run.run import Run

__all__ = ["collect"]


def collect(
    benchmark: Benchmark,
    cells: Mapping[tuple[int, int], Sequence[Cell]],
    tuned: Mapping[tuple[int, int], Tuned],
    imported: Sequence[Sequence[ImportedFront]] = (),
) -> Results:
    """Read what the cells have found.

    Args:
        benchmark: what they belong to.
        cells: of each pair of problem and solver (positions in `benchmark`), one a seed; none when nothing was chosen.
        tuned: what tuning found for each pair; empty when nothing is tuned.
        imported: what each of the benchmark's `imported` entries holds.
    """
    groups = []
    for problem, entry in enumerate(benchmark.problems):
        others = [
            (one, fronts) for one, fronts in zip(benchmark.imported, imported, strict=True)
            if one.problem in (None, entry.title)
        ]  # fmt: skip
        groups.append(_group(benchmark, problem, cells, tuned, others))
    options = benchmark.statistics if len(benchmark.seeds) > 1 or len(groups) > 1 else None
    analysis = None if options is None else analyze(groups, options)
    return Results(benchmark=benchmark, groups=tuple(groups), environment=environment(), analysis=analysis)


@frozen(kw_only=True)
class _Common:
    """What all cells of one problem are measured by."""

    names: Sequence[str]
    """Further columns that the spec asks for."""
    problem: Problem
    reference: tuple[float, ...] | None
    stated: bool
    """Whether the runs agreed on it."""
    scale: Scale | None
    singles: Mapping[int, tuple[Front, Front]]
    """Reported and validation front of the single-task networks, by seed."""


def _group(
    benchmark: Benchmark,
    problem: int,
    cells: Mapping[tuple[int, int], Sequence[Cell]],
    tuned: Mapping[tuple[int, int], Tuned],
    others: Sequence[tuple[ImportedEntry, Sequence[ImportedFront]]],
) -> Group:
    solvers = range(len(benchmark.solvers))
    fronts = {
        one.folder: one.front(benchmark.report) for s in solvers for one in cells[problem, s] if one.state == "done"
    }
    theirs = [one.front for _, own in others for one in own if one.has_losses]
    common = _Common(
        names=benchmark.columns, problem=benchmark.problems[problem].problem,
        reference=common_reference(list(fronts.values()) or theirs),
        stated=len({front.reference for front in fronts.values()}) <= 1,
        scale=common_scale([*fronts.values(), *theirs]), singles=_single_task(benchmark, problem, cells, fronts),
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
    rows += [_imported_row(entry, own, common) for entry, own in others]
    return _grouped(benchmark.problems[problem].title, rows, [*fronts.values(), *theirs], common)


def _grouped(title: str, rows: Sequence[Row], fronts: Sequence[Front], common: _Common) -> Group:
    keys = dict.fromkeys(key for row in rows for one in row.done for key in one.measures)
    upwards = {name: up for front in fronts for name, up in front.higher_is_better.items()}
    return Group(
        problem=title, rows=tuple(rows), reference=common.reference, scale=common.scale,
        stated=common.stated,
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
            front, one.front("val"), one.run.summary(), common.reference, exact=_exact(common),
            single=common.singles.get(one.seed), more=further(front, common.names, common.scale),
        )  # fmt: skip
        place = _place(one.run)
        front = attrs.evolve(front, reference=common.reference)
    return CellResult(
        seed=one.seed, cell=one, state=one.state, message=one.message, front=front, measures=measures, environment=place
    )


def _exact(common: _Common) -> float | None:
    """Hypervolume of the whole true front, where the problem knows it for this reference point."""
    try:
        return None if common.reference is None else common.problem.hypervolume(common.reference)
    except ValueError:  # a reference point nearer than the front's ends
        return None


def _imported_row(entry: ImportedEntry, own: Sequence[ImportedFront], common: _Common) -> Row:
    return Row(
        solver=entry.label, continuous=entry.continuous, cells=tuple(_imported_result(one, common) for one in own),
        tuned=None, message=None, imported=entry,
    )  # fmt: skip


def _imported_result(one: ImportedFront, common: _Common) -> CellResult:
    """Measures of imported results: those that follow from what the file has."""
    front = attrs.evolve(one.front, reference=common.reference if one.has_losses else None)
    more = further(front, common.names, common.scale) if one.has_losses else None
    reference = common.reference if one.has_losses else None
    measures = measure(front, one.validation or front, {}, reference, exact=_exact(common), more=more)
    for key in list(measures):
        what = key.partition("/")[0]
        of_losses = what not in ("hypervolume", "best", "single", "preferences")
        if (
            (what == "single" and one.validation is None)
            or (of_losses and not one.has_losses)
            or (key in OF_PREFERENCES and not one.has_preferences)
        ):
            measures[key] = None
    return CellResult(
        seed=one.seed, cell=None, state="done", message=None, front=front if one.has_losses else None,
        measures=measures, environment={},
    )  # fmt: skip


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
