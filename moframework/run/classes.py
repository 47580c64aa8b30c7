"""How often each class of a classification occurs: what `check` tells of it, and which are too rare to learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from attrs import frozen
from torch import Tensor

from moframework.data import Dataset, Split
from moframework.errors import shortened
from moframework.predicting import Answer
from moframework.problem.task import Task

__all__ = ["ClassCounts", "class_lines", "class_notes", "count_classes"]

_CLASSES = 10  # that a line names
_NAMED = 5  # of more classes, and in a note
_TASKS = 10  # that have a line
_RARE = 5  # training samples below which a class is hardly learned, and its metrics are chance
_CHARACTERS = 30  # of the name of a class


@frozen
class ClassCounts:
    """The classes of one task.

    Attributes:
        task: its name.
        names: of the c classes, in order.
        counts: by split, how many samples have each, c numbers.
    """

    task: str
    names: tuple[str, ...]
    counts: Mapping[Split, tuple[int, ...]]


def count_classes(tasks: Sequence[Task], answers: Sequence[Answer], data: Mapping[Split, Dataset]) -> list[ClassCounts]:
    """The classes of each task whose answer is one class a sample, where targets are in memory.

    Args:
        tasks: of the problem.
        answers: what outputs stand for, with the names of classes.
        data: splits; one whose targets are loaded with its inputs is not looked at, since that may take long.

    Returns:
        an entry a task, without the tasks that have more than one class a sample (a segmentation, several labels),
        shares of classes in place of classes, or no targets in memory.
    """
    by_name = {task.name: task for task in tasks}
    found = []
    for answer in answers:
        task = by_name[answer.task]
        size = {"classes": task.size, "binary": 2 if task.size == 1 else 0}.get(answer.kind, 0)
        counts = {split: _counts(task, samples, size) for split, samples in data.items()} if size > 1 else {}
        known = {split: numbers for split, numbers in counts.items() if numbers is not None}
        if known and len(known) == len(data):
            names = answer.categories or tuple(map(str, range(size)))
            found.append(ClassCounts(task.name, tuple(shortened(name, _CHARACTERS) for name in names), known))
    return found


def class_lines(found: Sequence[ClassCounts]) -> list[str]:
    """For people: how many training samples each class has, a line a task."""
    lines = [f"{one.task}: {_counted(one.names, one.counts['train'])}" for one in found]
    shown = lines[:_TASKS]
    return shown if len(lines) <= _TASKS else [*shown, f"and {len(lines) - _TASKS} more tasks"]


def class_notes(found: Sequence[ClassCounts]) -> list[str]:
    """What to tell of classes that training never sees, or hardly, a sentence each."""
    notes = []
    for one in found:
        train = one.counts["train"]
        whole = [sum(numbers) for numbers in zip(*one.counts.values(), strict=True)]
        unseen = [name for name, count, all_ in zip(one.names, train, whole, strict=True) if all_ and not count]
        if unseen:
            notes.append(
                f"task '{one.task}': {_classes(unseen, 'occurs', 'occur')} in val or test but in no training sample, "
                "so that it cannot be learned: divide the data otherwise, or leave such samples out"
            )
        few = [f"{name} ({count})" for name, count in zip(one.names, train, strict=True) if 0 < count < _RARE]
        if few:
            notes.append(
                f"task '{one.task}': {_classes(few, 'has', 'have')} fewer than {_RARE} training samples, too few to "
                "learn it or to measure it: get more, or join classes"
            )
    return notes


def _counts(task: Task, data: Dataset, size: int) -> tuple[int, ...] | None:
    """How many samples have each of `size` classes; None where that is not known without loading, or is no class."""
    targets = getattr(data, "targets", None)
    values = targets.get(task.target_key) if isinstance(targets, Mapping) else None
    if not isinstance(values, Tensor) or not len(values) or values[0].numel() != 1:
        return None
    flat = values.reshape(len(values))
    flat = flat[task.loss.known(values).reshape(len(values))].double()
    if bool(((flat != flat.round()) | (flat < 0) | (flat >= size)).any()):
        return None
    return tuple(torch.bincount(flat.long(), minlength=size).tolist())


def _counted(names: Sequence[str], counts: Sequence[int]) -> str:
    """`no 343, yes 217`; of many classes the most frequent ones."""
    rows = list(range(len(names)))
    if len(names) > _CLASSES:
        rows = sorted(rows, key=lambda row: -counts[row])
    shown = rows if len(names) <= _CLASSES else rows[:_NAMED]
    told = ", ".join(f"{names[row]} ({counts[row]:,})" for row in shown)
    rest = [counts[row] for row in rows[len(shown) :]]
    if not rest:
        return told
    low, high = f"{min(rest):,}", f"{max(rest):,}"
    return f"{told} and {len(rest)} more classes ({low if low == high else f'{low} to {high}'} each)"


def _classes(names: Sequence[str], one: str, several: str) -> str:
    """`class a has`, `classes a, b and 3 more have`, where the verbs are `has` and `have`."""
    if len(names) == 1:
        return f"class {names[0]} {one}"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"classes {', '.join(names[:_NAMED])}{more} {several}"
