"""Data sets of tasks: which task reads which set, and what stands for the labels that a set does not have."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

import attrs
import torch
from torch import Tensor

from moframework.config.options import OptionError
from moframework.data import Dataset, TensorData
from moframework.data.by_task import task_sets
from moframework.data.collate import Collated, collate_of
from moframework.data.composition import SetBatches
from moframework.data.loader import loaded_items
from moframework.errors import DataError, SpecError, meant
from moframework.problem.task import Task

__all__ = ["check_sets", "data_of_sets", "maps_as_read", "on_own_sets", "set_notes"]

T = TypeVar("T")

_IGNORED = (-100, -1)  # what stands for no class in most code


def check_sets(sets: Collection[str], batches: SetBatches) -> None:
    """Raise `OptionError` where there is no set, a name is none, or `batches` does not fit them."""
    if not sets:
        raise OptionError("data must be a source, or name at least one", "data")
    for name in sets:
        if not name or name != name.strip() or any(mark in name for mark in ":/."):
            raise OptionError(
                f"data must name sets by text without colons, dots, slashes or outer blanks, but it is '{name}'",
                "data",
            )
    try:
        batches.check(list(sets))
    except OptionError as error:
        raise OptionError(f"batches.{error.message}", f"batches.{error.key}") from None


def on_own_sets(tasks: Iterable[Task], sets: Collection[str]) -> tuple[Task, ...]:
    """`tasks`, each with a target that tells which set it is read from, where it is one set alone.

    A task that has the name of a set reads this one: its target becomes `set:key`, which a target may also say itself.
    Any other task reads every set that has its target.

    >>> from moframework.losses import MSE
    >>> [task] = on_own_sets([Task(name="rent", loss=MSE(), target="euros")], ["rent", "price"])
    >>> task.target_key
    'rent:euros'
    """
    return tuple(
        attrs.evolve(cast(Any, task), target=f"{task.name}:{task.target_key}")
        if task.name in sets and _own_set(task.target_key, sets) is None
        else task
        for task in tasks
    )


def maps_as_read(maps: Mapping[str, T], tasks: Sequence[Task], sets: Collection[str]) -> dict[str, T]:
    """What `maps` says of targets by their keys, by the keys that `tasks`, as `on_own_sets` returns them, read.

    Raises:
        OptionError: it has a key that no task reads: augmentations would pass over the target that is meant.
    """
    read: dict[str, list[str]] = {}
    for key in dict.fromkeys(task.target_key for task in tasks):
        own = _own_set(key, sets)
        for name in {key} if own is None else {key, own[1]}:
            read.setdefault(name, []).append(key)
    for name in maps:
        if name not in read:
            raise OptionError(
                f"maps.{name} is read by no task; {meant(name, read)}they read {', '.join(read)}; a task that has the "
                "name of a set says with `target` which of its targets it reads",
                f"maps.{name}",
            )
    return {key: maps[name] for name, keys in read.items() if name in maps for key in keys}


def data_of_sets(
    sets: Mapping[str, Dataset],
    tasks: Sequence[Task],
    batches: SetBatches | None = None,
    *,
    one_size: bool = True,
) -> Dataset:
    """Several data sets as one, of which each task knows the samples that have its target.

    Args:
        sets: by name.
        tasks: as `on_own_sets` returns them.
        batches: how batches are composed of the sets.
        one_size: whether inputs of all sets must have one size, since no collate function makes batches of them.

    Returns:
        see `moframework.data.by_task.task_sets`: all targets that tasks read, and those others that one set alone has.

    Raises:
        SpecError: a task reads what no set has, or a set has nothing that a task reads; all of them, a line each.
        DataError: as `task_sets`; or there is no number that the losses and metrics of a target ignore.
    """
    keys = {name: _keys(name, data) for name, data in sets.items()}
    reads: dict[str, dict[str, str]] = {}
    faults = []
    for task in tasks:
        found = _readers(task, keys)
        if not found:
            faults.append(_no_set(task, keys))
        reads[task.target_key] = found
    for name, known in keys.items():
        if not faults and not any(name in own for own in reads.values()):
            faults.append(f"problem.data.{name}: no task reads this set; its targets are {', '.join(known) or 'none'}")
    if faults:
        raise SpecError("\n".join(faults))
    for key in dict.fromkeys(key for known in keys.values() for key in known):
        having = [name for name, known in keys.items() if key in known]
        if len(having) == 1 and not any(own.get(having[0]) == key for own in reads.values()):
            reads.setdefault(key, {having[0]: key})
    return task_sets(sets, reads, lambda key, target: _unknown(key, tasks, target), batches, one_size=one_size)


def set_notes(tasks: Sequence[Task], sets: Mapping[str, Dataset]) -> list[str]:
    """What is worth knowing of targets that are read from several sets, a sentence each."""
    keys = {name: _keys(name, each) for name, each in sets.items()}
    notes = []
    for key in dict.fromkeys(task.target_key for task in tasks):
        found = [name for name, known in keys.items() if key in known]
        if len(found) > 1:
            readers = ", ".join(task.name for task in tasks if task.target_key == key)
            notes.append(
                f"target '{key}' is in the sets {', '.join(found)}, and {readers} read it in all of them; "
                f"`target: '{found[0]}:{key}'` reads one alone"
            )
    return notes


def _own_set(key: str, sets: Collection[str]) -> tuple[str, str] | None:
    """Set and key of a target `set:key`, or None where it is none."""
    name, mark, rest = key.partition(":")
    return (name, rest) if mark and name in sets else None


def _readers(task: Task, keys: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The sets that a task reads, with the key of its target in each."""
    own = _own_set(task.target_key, keys)
    if own is None:
        return {name: task.target_key for name, known in keys.items() if task.target_key in known}
    name, key = own
    if key in keys[name]:
        return {name: key}
    # Where nothing is said of the target, the only one there is meant.
    return {name: keys[name][0]} if key == name and len(keys[name]) == 1 else {}


def _no_set(task: Task, keys: Mapping[str, Sequence[str]]) -> str:
    """What to say of a task whose target is in no set."""
    own = _own_set(task.target_key, keys)
    if own is not None:
        name, key = own
        near, known = meant(key, keys[name]), ", ".join(keys[name])
        return f"task '{task.name}': set '{name}' has no target '{key}'; {near}it has {known}; say which with `target`"
    near = meant(task.target_key, {key for known in keys.values() for key in known})
    told = "; ".join(f"{name} has {', '.join(known) or 'none'}" for name, known in keys.items())
    return f"task '{task.name}': no set has the target '{task.target_key}'; {near}{told}"


def _keys(name: str, data: Dataset) -> list[str]:
    """The keys of a set's targets."""
    if isinstance(data, TensorData):
        return list(data.targets)
    plain: Any = data.data if isinstance(data, Collated) else data
    if len(plain) == 0:
        raise DataError(f"set '{name}' has no samples")
    if collate_of(plain) is None:
        return list(loaded_items(plain, [0])[1])
    return list(plain[0][1])


def _unknown(key: str, tasks: Sequence[Task], target: Tensor) -> float:
    """The number by which a target is unknown to all tasks that read it: nan, or a class that they ignore.

    Args:
        target: some values (k, ...).
    """
    readers = [task for task in tasks if task.target_key == key]
    parts = [part for task in readers for part in (task.loss, *task.metrics)]
    ignored = {value for part in parts if isinstance(value := getattr(part, "ignore_index", None), int)}
    by_losses = any(hasattr(task.loss, "ignore_index") for task in readers)
    candidates: list[float] = [math.nan] if target.is_floating_point() else list(ignored) if len(ignored) == 1 else []
    if not target.is_floating_point() and not by_losses:
        candidates += [math.nan, *_IGNORED] if readers else _IGNORED
    for number in candidates:
        dtype = torch.float32 if math.isnan(number) else torch.int64
        one = torch.full((1, *target.shape[1:]), number, dtype=dtype)
        if not any(bool(task.loss.known(one).any()) for task in readers):
            return number
    raise DataError(
        f"target '{key}' is not in all sets, and nothing stands for an unknown one: losses and metrics that read it "
        f"must ignore the same class (ignore_index), but ignore {', '.join(map(str, sorted(ignored))) or 'none'}"
    )
