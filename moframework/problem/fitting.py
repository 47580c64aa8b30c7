"""Losses that take something from the training data, such as weights of classes: what they take, before training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import attrs
from torch import Tensor

from moframework.data import Dataset, batches
from moframework.errors import SpecError
from moframework.problem.base import Problem
from moframework.problem.declared import Customized, ProblemOverrides
from moframework.problem.task import Task, TaskOptions

__all__ = ["fitted"]

_READ = 256  # samples at a time, where targets are loaded with their inputs


def fitted(problem: Problem, data: Dataset | None = None) -> Problem:
    """`problem` with losses that have all they take from the training data; itself where they have it already.

    Args:
        data: the training split, where it is at hand; None asks the problem. It is read once for each such loss, with
            its inputs where targets are not in memory.

    Raises:
        SpecError: the data does not tell what a loss asks for.
    """
    tasks = problem.tasks
    if all(task.loss.is_fitted for task in tasks):
        return problem
    found = problem.data("train") if data is None else data
    changed = {task.name: _options(_fitted(task, found)) for task in tasks}
    return Customized(base=problem, overrides=ProblemOverrides(tasks=changed, reference=problem.reference))


def _fitted(task: Task, data: Dataset) -> Task:
    if task.loss.is_fitted:
        return task
    try:
        loss = task.loss.fitted(_targets(task, data), task.size)
    except ValueError as error:
        raise SpecError(f"task '{task.name}': {error}") from error
    return attrs.evolve(task, loss=loss)  # type: ignore[misc]


def _targets(task: Task, data: Dataset) -> Iterator[Tensor]:
    """The task's targets of all samples, in parts."""
    in_memory = getattr(data, "targets", None)
    if isinstance(in_memory, Mapping) and isinstance(in_memory.get(task.target_key), Tensor):
        yield in_memory[task.target_key]
        return
    for _, targets in batches(data, _READ, order=None, device="cpu"):
        if task.target_key not in targets:
            raise ValueError(f"the data has no target '{task.target_key}'; it has {', '.join(targets)}")
        yield targets[task.target_key]


def _options(task: Task) -> TaskOptions:
    """All that a task is, as what replaces another's."""
    return TaskOptions(**{field.name: getattr(task, field.name) for field in attrs.fields(cast(Any, TaskOptions))})
