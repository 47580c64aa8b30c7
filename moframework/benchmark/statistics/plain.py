"""An analysis as plain data for `results.json`. What is not defined is null."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs

from moframework.benchmark.statistics.course import time_to
from moframework.benchmark.statistics.found import Analysis, Attainment, Compared, Course, Ranking
from moframework.benchmark.statistics.interval import Interval

__all__ = ["to_plain"]


def to_plain(analysis: Analysis, pictures: Mapping[str, str]) -> dict[str, Any]:
    """What an analysis holds, but for its options, which stand in the benchmark's spec.

    Args:
        analysis: what was found.
        pictures: files by what they show: `ranks/KEY`, `attainment/PROBLEM`, `course/PROBLEM`.
    """
    return {
        "measures": [{**_measure(one), "figure": pictures.get(f"ranks/{one.column.key}")} for one in analysis.measures],
        "attainment": [
            {**_attainment(one), "figure": pictures.get(f"attainment/{one.problem}")} for one in analysis.attainments
        ],
        "courses": [{**_course(one), "figure": pictures.get(f"course/{one.problem}")} for one in analysis.courses],
        "notes": list(analysis.notes),
    }


def _measure(one: Compared) -> dict[str, Any]:
    return {
        "key": one.column.key,
        "title": one.column.title,
        "upward": one.column.upward,
        "means": [
            {"problem": mean.problem, "solver": mean.solver, "values": list(mean.values), "mean": mean.mean,
             "std": mean.std, **_interval(mean.interval)}
            for mean in one.means
        ],
        "paired_over": one.blocks,
        "ranking": None if one.ranking is None else _ranking(one.ranking),
        "pairs": [
            {"first": pair.first, "second": pair.second, "wins": pair.wins, "ties": pair.ties, "losses": pair.losses,
             "difference": pair.difference, **_interval(pair.interval), "p": pair.p, "p_holm": pair.p_holm,
             "chances": attrs.asdict(pair.chances), "note": pair.note or pair.interval.note}
            for pair in one.pairs
        ],
        "profile": None if one.profile is None else {
            "solvers": list(one.profile.solvers),
            "ratios": [
                [value if math.isfinite(value) else None for value in row] for row in one.profile.ratios.tolist()
            ],
        },
        "notes": list(one.notes),
    }  # fmt: skip


def _interval(interval: Interval) -> dict[str, Any]:
    return {"low": interval.low, "high": interval.high, "note": interval.note}


def _ranking(ranking: Ranking) -> dict[str, Any]:
    return {
        "problems": ranking.problems,
        "ranks": dict(zip(ranking.solvers, ranking.ranks, strict=True)),
        "friedman": None if ranking.friedman is None else attrs.asdict(ranking.friedman),
        "critical_difference": ranking.critical_difference,
        "groups": [list(group) for group in ranking.groups],
    }


def _attainment(one: Attainment) -> dict[str, Any]:
    rows = [
        {
            "solver": row.solver, "seeds": len(row.fronts),
            "surfaces": [
                {"least": least, "hypervolume": volume, "corners": corners.tolist()}
                for least, volume, corners in zip(row.levels, row.hypervolumes, row.corners, strict=True)
            ],
        }
        for row in one.rows
    ]  # fmt: skip
    return {"problem": one.problem, "tasks": list(one.tasks), "rows": rows, "notes": list(one.notes)}


def _course(one: Course) -> dict[str, Any]:
    rows = [
        {
            "solver": solver, "seed": training.seed,
            "training_seconds": training.seconds.tolist(),
            "processor_seconds": training.processor_seconds.tolist(),
            "hypervolumes": training.hypervolumes.tolist(),
            "processor_seconds_to_target":
                None if one.target is None else time_to(training, one.target, processor=True),
        }
        for solver, trainings in one.trainings for training in trainings
    ]  # fmt: skip
    return {"problem": one.problem, "target": one.target, "rows": rows, "notes": list(one.notes)}
