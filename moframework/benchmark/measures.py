"""The numbers of one finished cell: what becomes a column of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from moframework.benchmark.column import Column
from moframework.benchmark.further import further_column
from moframework.pareto import hypervolume
from moframework.pareto.front import Front

__all__ = ["columns_for", "common_reference", "measure", "volume"]

LOSSES = "losses"


def common_reference(fronts: Sequence[Front]) -> tuple[float, ...] | None:
    """One reference point of the loss hypervolume for all `fronts`: the componentwise worst of theirs, which is that
    of the problem where it states one. None when a front has none, or there is no front."""
    points = [front.reference for front in fronts]
    if not points or any(point is None for point in points):
        return None
    return tuple(float(value) for value in np.max(np.array(points, dtype=np.float64), axis=0))


def volume(front: Front, name: str, reference: Sequence[float] | None) -> float | None:
    """A hypervolume of `front` by name: `losses`, below `reference`, or a metric that all tasks have. None without."""
    if name == LOSSES:
        return None if reference is None else front.hypervolume(reference)
    found = front.hypervolumes().get(name)
    return None if found is None else found["value"]


def measure(
    test: Front,
    validation: Front,
    summary: Mapping[str, Any],
    reference: Sequence[float] | None,
    *,
    exact: float | None = None,
    single: tuple[Front, Front] | None = None,
    more: Mapping[str, float | None] | None = None,
) -> dict[str, float | None]:
    """Every measure of a finished run by the key of its column; None where it is not defined.

    Args:
        test: the front that is reported.
        validation: the front that chooses the single operating point; of the same preferences.
        summary: the run's `status.json`.
        reference: of the loss hypervolume, common to all runs of the problem.
        exact: hypervolume of the whole true front below it; None for that of the points that stand for the front.
        single: reported and validation front of the single-task networks of the same seed, where there are some.
        more: measures of the columns that the spec names.
    """
    found: dict[str, float | None] = {}
    shared = [name for name in test.hypervolumes() if name != LOSSES]
    for name in [*shared, LOSSES]:
        found[f"hypervolume/{name}"] = volume(test, name, reference)
    for name, values in test.metrics.items():
        known = values[~np.isnan(values)]
        found[f"best/{name}"] = None if not len(known) else float(known.max() if _up(test, name) else known.min())
    for metric in test.shared_metrics():
        row = _single(validation, metric)
        found[f"single/{metric}"] = None if row is None else _mean(test, metric)[row]
    if single is not None:
        found["delta_m"] = _delta_m(test, validation, *single)
    ranks = test.controllability()
    found["controllability"] = None if np.isnan(ranks).any() else float(ranks.mean())
    found["nondominated"] = float(test.nondominated().mean())
    if test.true_front is not None:
        found["igd_plus"] = test.igd_plus()
        if reference is not None:
            best = hypervolume(test.true_front, reference) if exact is None else exact
            found["attained"] = test.hypervolume(reference) / best if best > 0 else None
    found |= more or {}
    found |= _costs(summary)
    found["preferences"] = float(len(test.losses))
    return found


def _costs(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """What a run took, by its `status.json`."""
    parameters, base = summary.get("parameters"), summary.get("backbone_parameters")
    peak = summary.get("peak_memory", {}).get("device", summary.get("peak_memory", {}).get("host"))
    return {
        "parameters": parameters,
        "overhead": parameters / base - 1 if parameters is not None and base else None,
        "seconds": summary.get("training_seconds"),
        "processor_seconds": summary.get("processor_seconds"),
        "memory": None if peak is None else peak / 2**20,
    }


def columns_for(keys: Sequence[str], upwards: Mapping[str, bool]) -> tuple[Column, ...]:
    """The columns of these measures, in the order of a table: what is best first, what it costs last.

    Args:
        keys: of measures.
        upwards: `TASK/METRIC` → whether larger is better.
    """
    found = []
    for key in keys:
        what, _, name = key.partition("/")
        if what == "hypervolume":
            found.append(Column(key=key, title=f"hypervolume, {name}", help=f"hypervolume of {name}", upward=True))
        elif what == "best":
            task, _, metric = name.partition("/")
            found.append(Column(
                key=key, title=f"best {metric}, {task}",
                help=f"the best {metric} of {task} along the front; other columns may be best elsewhere on it",
                upward=upwards.get(name),
            ))  # fmt: skip
        elif what == "single":
            directions = {up for metric, up in upwards.items() if metric.partition("/")[2] == name}
            found.append(Column(
                key=key, title=f"one model's {name}",
                help=f"{name}, mean over tasks, at the one preference where that mean is best on validation",
                upward=directions.pop() if len(directions) == 1 else None,
            ))  # fmt: skip
        else:
            found.append(_FIXED[key] if key in _FIXED else further_column(key))
    return tuple(found)


_FIXED = {
    column.key: column
    for column in (
        Column(
            key="delta_m", title="Δm, %", digits=2,
            help="mean relative change of a single model's metrics against single-task networks of the same seed, "
            "at the one preference where it is best on validation; below 0 is better than they are",
        ),
        Column(
            key="controllability", title="controllability", digits=3,
            help="rank correlation of preference and loss, mean over tasks; −1 is ideal",
        ),
        Column(
            key="nondominated", title="non-dominated", digits=0, percent=True, upward=True,
            help="share of the evaluated points that no other dominates in the losses",
        ),
        Column(key="igd_plus", title="IGD+", help="mean shortfall from the true front; 0 is ideal"),
        Column(
            key="attained", title="of the true hypervolume", digits=2, percent=True, upward=True,
            help="hypervolume of losses over that of the whole true front, exact where there is a formula for it; no "
            "finite number of points reaches all of that",
        ),
        Column(key="parameters", title="parameters", digits=0, help="trained parameters"),
        Column(
            key="overhead", title="overhead", digits=1, percent=True,
            help="trained parameters beyond those of the one network of the problem",
        ),
        Column(key="seconds", title="training, s", digits=1, help="seconds of training steps alone"),
        Column(
            key="processor_seconds", title="processor, s", digits=1,
            help="processor seconds of training steps alone, all threads; they hardly depend on what else is running",
        ),
        Column(
            key="memory", title="memory, MiB", digits=0,
            help="peak memory of the device where there is one, else of the whole process, data and libraries included",
        ),
        Column(key="preferences", title="points", digits=0, help="preferences evaluated", upward=None),
    )
}  # fmt: skip


def _delta_m(test: Front, validation: Front, ideal_test: Front, ideal_validation: Front) -> float | None:
    """Δm at the preference where it is best on validation; None where it is not defined there."""
    chances = validation.delta_m(ideal_validation)
    if np.isnan(chances).all():
        return None
    value = float(test.delta_m(ideal_test)[int(np.nanargmin(chances))])
    return None if np.isnan(value) else value


def _up(front: Front, name: str) -> bool:
    return front.higher_is_better[name]


def _mean(front: Front, metric: str) -> list[float]:
    """The metric at each preference, mean over tasks."""
    mean: list[float] = np.mean([front.metrics[f"{task}/{metric}"] for task in front.tasks], axis=0).tolist()
    return mean


def _single(front: Front, metric: str) -> int | None:
    """The preference whose mean over tasks is best; None where directions differ or a value is nan."""
    upwards = {_up(front, f"{task}/{metric}") for task in front.tasks}
    values = np.array(_mean(front, metric))
    if len(upwards) != 1 or np.isnan(values).all():
        return None
    return int(np.nanargmax(values) if upwards.pop() else np.nanargmin(values))
