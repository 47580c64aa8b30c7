"""`analyze`: the results of a benchmark to what can be said of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from moframework.benchmark.column import Column
from moframework.benchmark.results import Group, Row
from moframework.benchmark.statistics.course import course
from moframework.benchmark.statistics.found import Analysis, Compared, MeanOfSeeds, Profile, Ranking
from moframework.benchmark.statistics.interval import interval
from moframework.benchmark.statistics.pairs import Blocks, Pair, compare
from moframework.benchmark.statistics.profile import ratios
from moframework.benchmark.statistics.ranking import critical_difference, friedman, groups, holm, ranks
from moframework.benchmark.statistics.spec import Statistics
from moframework.benchmark.statistics.surfaces import attainment

__all__ = ["MOST_PAIRED", "SCARCE", "analyze"]

Array = NDArray[np.float64]

SCARCE = 5
"""Problems or seeds below which chances are told to be too certain."""
MOST_PAIRED = 6
"""Contenders that are all paired with each other; of more each is paired with the one of the best mean alone."""


def analyze(found: Sequence[Group], options: Statistics) -> Analysis:
    """What can be said of the finished cells of a benchmark.

    Args:
        found: its problems.
        options: how to compare.
    """
    columns = {column.key: column for group in found for column in group.columns}
    wanted = options.measures or tuple(key for key in columns if key.startswith("hypervolume/"))
    notes = [
        f"`{key}` is no column of this table; it has: {', '.join(columns) or 'none, as nothing is finished'}."
        for key in wanted if key not in columns
    ] + [
        f"`{key}` is not compared: neither larger nor smaller is better for all tasks."
        for key in wanted if key in columns and columns[key].upward is None
    ]  # fmt: skip
    measured = [columns[key] for key in wanted if key in columns and columns[key].upward is not None]
    return Analysis(
        options=options,
        measures=tuple(_compared(found, column, options) for column in measured),
        attainments=tuple(surfaces for group in found if (surfaces := attainment(group)) is not None),
        courses=tuple(times for group in found if (times := course(group)) is not None),
        notes=tuple(notes),
    )


def _compared(found: Sequence[Group], column: Column, options: Statistics) -> Compared:
    means = tuple(_mean(group, row, column.key, options) for group in found for row in group.rows)
    notes: list[str] = []
    solvers = _solvers(found, column.key, notes)
    blocks: Blocks = "problems" if len(found) > 1 else "seeds"
    if blocks == "problems":
        matrix = _of_problems(found, solvers, column.key, notes)
    else:
        matrix = _of_seeds(found[0], solvers, column.key, notes)
    if len(solvers) < 2 or len(matrix) < 2:
        if len(solvers) >= 2:
            notes.append(f"With fewer than two {blocks} on which all contenders have a value, nothing can be tested.")
        return Compared(
            column=column, means=means, blocks=None, ranking=None, pairs=(), profile=None, notes=tuple(notes)
        )
    if blocks == "problems" and 2 ** (1 - len(matrix)) > 1 - options.confidence:
        notes.append(
            f"With {len(matrix)} problems no p-value of a pair can be below {2 ** (1 - len(matrix)):.3g}: it takes "
            "more of them to tell contenders apart by a test."
        )
    if len(matrix) < SCARCE:
        notes.append(
            f"Chances from {len(matrix)} {blocks} rest on that many differences, and are more certain than they should "
            "be."
        )
    return Compared(
        column=column, means=means, blocks=blocks,
        ranking=_ranking(solvers, matrix, column, options, notes) if blocks == "problems" else None,
        pairs=_pairs(solvers, matrix, column, blocks, options),
        profile=_profile(found, solvers, column, notes) if blocks == "problems" else None, notes=tuple(notes),
    )  # fmt: skip


def _mean(group: Group, row: Row, key: str, options: Statistics) -> MeanOfSeeds:
    statistic = row.statistic(key)
    known = statistic.known
    return MeanOfSeeds(
        problem=group.problem, solver=row.solver, values=tuple(known), mean=statistic.mean, std=statistic.std,
        interval=interval(known, options.confidence, options.interval),
    )  # fmt: skip


def _solvers(found: Sequence[Group], key: str, notes: list[str]) -> tuple[str, ...]:
    """Contenders that have a value somewhere and can be compared."""
    solvers = dict.fromkeys(row.solver for group in found for row in group.rows)
    kept = []
    left: dict[str, list[str]] = {}
    for solver in solvers:
        rows = [row for group in found for row in group.rows if row.solver == solver]
        others = next((row.apart or "its seeds are not ours" for row in rows if row.imported is not None), None)
        if others is not None and len(found) == 1:
            left.setdefault(others, []).append(solver)
        elif not any(row.statistic(key).known for row in rows):
            left.setdefault("without a value", []).append(solver)
        else:
            kept.append(solver)
    notes += [f"Left out of tests: {', '.join(names)} ({why})." for why, names in left.items()]
    return tuple(kept)


def _row(group: Group, solver: str) -> Row | None:
    return next((row for row in group.rows if row.solver == solver), None)


def _of_problems(found: Sequence[Group], solvers: Sequence[str], key: str, notes: list[str]) -> Array:
    """Means over seeds (problems, solvers), of the problems on which all contenders have one."""
    rows: list[list[float]] = []
    for group in found:
        own = {solver: _row(group, solver) for solver in solvers}
        means = [None if row is None or row.apart else row.statistic(key).mean for row in own.values()]
        missing = [solver for solver, mean in zip(solvers, means, strict=True) if mean is None]
        if missing:
            notes.append(f"Left out of tests: {group.problem}, for want of a comparable value of {', '.join(missing)}.")
            continue
        rows.append([mean for mean in means if mean is not None])
        counts = {solver: len(row.statistic(key).known) for solver, row in own.items() if row is not None}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{solver} {count}" for solver, count in counts.items())
            notes.append(f"On {group.problem} means are over unequal numbers of seeds: {told}.")
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(solvers))


def _of_seeds(group: Group, solvers: Sequence[str], key: str, notes: list[str]) -> Array:
    """Values (seeds, solvers), of the seeds that all contenders have finished."""
    by_seed: dict[int, dict[str, float]] = {}
    for row in group.rows:
        if row.solver in solvers:
            for one in row.done:
                value = one.measures.get(key)
                if value is not None:
                    by_seed.setdefault(one.seed, {})[row.solver] = value
    complete = {seed: values for seed, values in sorted(by_seed.items()) if len(values) == len(solvers)}
    left = [str(seed) for seed in sorted(by_seed) if seed not in complete]
    if left and len(solvers) > 1:
        notes.append(f"Left out of tests: seeds {', '.join(left)}, which not all contenders have finished.")
    rows = [[values[solver] for solver in solvers] for values in complete.values()]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(solvers))


def _ranking(solvers: Sequence[str], matrix: Array, column: Column, options: Statistics, notes: list[str]) -> Ranking:
    n, k = matrix.shape
    mean = ranks(matrix, bool(column.upward)).mean(axis=0).tolist()
    test = friedman(matrix) if k > 2 else None
    if k > 2 and test is None:
        notes.append("All contenders are tied on every problem: there is nothing to test.")
    difference = None if test is None else critical_difference(k, n, options.confidence)
    near = () if difference is None else groups(mean, difference)
    return Ranking(
        problems=n, solvers=tuple(solvers), ranks=tuple(mean), friedman=test, critical_difference=difference,
        groups=tuple(tuple(solvers[place] for place in group) for group in near),
    )  # fmt: skip


def _pairs(
    solvers: Sequence[str], matrix: Array, column: Column, blocks: Blocks, options: Statistics
) -> tuple[Pair, ...]:
    """Pairs with p-values that are corrected for their number."""
    upward = bool(column.upward)
    places = list(itertools.combinations(range(len(solvers)), 2))
    if len(solvers) > MOST_PAIRED:
        best = int(np.argmin(ranks(matrix, upward).mean(axis=0)))
        places = [(best, place) for place in range(len(solvers)) if place != best]
    pairs = [
        compare((solvers[i], solvers[j]), matrix[:, [i, j]], upward, blocks, options.confidence, options.rope)
        for i, j in places
    ]
    corrected = holm([pair.p for pair in pairs])
    return tuple(attrs.evolve(pair, p_holm=p) for pair, p in zip(pairs, corrected, strict=True))


def _profile(found: Sequence[Group], solvers: Sequence[str], column: Column, notes: list[str]) -> Profile | None:
    """Over problems and seeds; a seed that a contender has not finished is one that it failed. Without imported
    contenders, whose seeds are not ours."""
    own = [solver for solver in solvers if not any(row.imported for group in found if (row := _row(group, solver)))]
    rows = []
    for group in found:
        values: Mapping[str, dict[int, float]] = {
            row.solver: {one.seed: value for one in row.done if (value := one.measures.get(column.key)) is not None}
            for row in group.rows if row.solver in own
        }  # fmt: skip
        seeds = sorted({seed for done in values.values() for seed in done})
        rows += [[values[solver].get(seed, math.nan) for solver in own] for seed in seeds]
    try:
        measured = ratios(np.array(rows, dtype=np.float64).reshape(len(rows), len(own)), bool(column.upward))
    except ValueError as error:
        notes.append(f"There is no performance profile of {column.title}: {error}.")
        return None
    if len(measured) < len(rows):
        notes.append(
            f"Left out of the performance profile: {len(rows) - len(measured)} of {len(rows)} problems and seeds, on "
            "which no contender has a value above 0."
        )
    return Profile(solvers=tuple(own), ratios=measured) if len(own) > 1 and len(measured) else None
