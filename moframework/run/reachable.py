"""Conditions that no point can meet, since a metric ends before them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from moframework.pareto.conditions import Condition
from moframework.problem.task import Task

__all__ = ["check_reachable"]


def check_reachable(conditions: Iterable[Condition], tasks: Sequence[Task]) -> None:
    """Raise `ValueError` where a condition asks for more than the best value that its metric can have.

    An accuracy ends at 1, so that `>= 80` was meant as a percentage; without this it would be missed by 79.2.
    """
    metrics = {f"{task.name}/{metric.label}": metric for task in tasks for metric in task.metrics}
    for one in conditions:
        metric = metrics.get(one.column)
        if metric is not None and metric.best is not None and _is_beyond(one, metric.best, metric.higher_is_better):
            part = one.bound / 100
            percent = metric.best == 1 and one.sign != "=" and 0.01 < part <= 1
            meant = f": for {one.bound:g} %, write {part:g}" if percent else ""
            raise ValueError(
                f"condition '{one}' holds nowhere, for {metric.best:g} is the best value of {one.column}{meant}"
            )


def _is_beyond(condition: Condition, best: float, upwards: bool) -> bool:
    """Whether no value that is at most as good as the best one meets a condition."""
    over = condition.bound - best if upwards else best - condition.bound
    if condition.sign == "=":
        return over > condition.tolerance
    if condition.sign[0] != (">" if upwards else "<"):
        return False
    return over > 0 or (over == 0 and condition.sign in ("<", ">"))
