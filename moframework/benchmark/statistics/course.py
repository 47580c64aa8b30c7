"""Validation hypervolumes over the time of training steps, by the clock and of the processor."""

from __future__ import annotations

from typing import Any

import numpy as np

from moframework.benchmark.results import CellResult, Group
from moframework.benchmark.statistics.found import Course, Training
from moframework.pareto import hypervolume

__all__ = ["SHARE", "course", "time_to"]

SHARE = 0.95
"""The share of the largest validation hypervolume of a problem whose time is told."""


def course(group: Group) -> Course | None:
    """The courses of all finished trainings on a problem; None where nothing is finished or has a reference point."""
    done = [(row.solver, one) for row in group.rows for one in row.done if one.cell is not None]
    if not done or group.reference is None:
        return None
    trainings: dict[str, list[Training]] = {}
    without: dict[str, None] = {}
    for solver, one in done:
        training = _training(one, group.reference)
        if training is None:
            without[solver] = None
        else:
            trainings.setdefault(solver, []).append(training)
    notes = []
    if without:
        notes.append(
            f"The course of {', '.join(without)} is not known: these runs were not validated while they trained "
            "(`evaluate.every`), or an earlier version made them."
        )
    best = max((training.hypervolumes.max() for own in trainings.values() for training in own), default=None)
    if best is not None and best <= 0:
        notes.append("No validation has a point that is better than the reference point in every task.")
    return Course(
        problem=group.problem, trainings=tuple((solver, tuple(own)) for solver, own in trainings.items()),
        target=SHARE * float(best) if best is not None and best > 0 else None, notes=tuple(notes),
    )  # fmt: skip


def time_to(training: Training, target: float, *, processor: bool) -> float | None:
    """Seconds until the first validation that reaches a hypervolume; None where none does."""
    reached = np.flatnonzero(training.hypervolumes >= target)
    times = training.processor_seconds if processor else training.seconds
    return float(times[reached[0]]) if len(reached) else None


def _training(one: CellResult, reference: tuple[float, ...]) -> Training | None:
    """None where there were fewer than two validations, or their times are not known."""
    assert one.cell is not None
    run = one.cell.run
    validations: list[dict[str, Any]] = run.history().get("validations", [])
    times = {time["step"]: time for time in run.report().get("time", {}).get("validations", [])}
    known = [
        (times[past["step"]], past["losses"]) for past in validations
        if None not in times.get(past["step"], {"": None}).values()
    ]  # fmt: skip
    if len(known) < 2:
        return None
    return Training(
        seed=one.seed,
        seconds=np.array([time["training_seconds"] for time, _ in known]),
        processor_seconds=np.array([time["processor_seconds"] for time, _ in known]),
        hypervolumes=np.array([hypervolume(losses, reference) for _, losses in known]),
    )
