"""A benchmark's tree to the tree of one run's spec: pure functions that keep every value's position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moframework.spec.extending import merge
from moframework.spec.marks import Item

__all__ = ["absolute", "compose", "expand", "overlay"]

ENTRIES = {"problems": "problem", "solvers": "solver"}
DEFERRED = ("training", "evaluate")
"""Sections of an entry that stay plain data until they are laid over those of the whole benchmark."""


def expand(root: Item) -> Item:
    """`root` with short entries written out: `palora` and `{name: palora}` become `{solver: …}`.

    References to Python files in sections that stay plain data are made absolute here, since nothing later knows which
    file they stood in. What is not of the expected shape is left as it is, for others to refuse.
    """
    if not isinstance(root.value, dict):
        return root
    value = dict(root.value)
    for key, part in ENTRIES.items():
        section = value.get(key)
        if section is not None and isinstance(section.value, list):
            value[key] = Item([_entry(item, part) for item in section.value], section.mark, section.key)
    tune = value.get("tune")
    if tune is not None and isinstance(tune.value, dict) and "grid" in tune.value:
        grid = {"grid": absolute(tune.value["grid"])}
        value["tune"] = Item(tune.value | grid, tune.mark, tune.key)
    return Item(value, root.mark, root.key)


def _entry(item: Item, part: str) -> Item:
    short = isinstance(item.value, str) or (isinstance(item.value, dict) and item.value.keys() & {"name", "python"})
    if short:
        return Item({part: item}, item.mark, item.key)
    if not isinstance(item.value, dict):
        return item
    deferred = {key: absolute(item.value[key]) for key in DEFERRED if key in item.value}
    return Item(item.value | deferred, item.mark, item.key)


def absolute(item: Item) -> Item:
    """`item` with `python: ./file.py:Name` resolved against the folder of the spec it stands in."""
    if isinstance(item.value, list):
        return Item([absolute(child) for child in item.value], item.mark, item.key)
    if not isinstance(item.value, dict):
        return item
    value = {key: absolute(child) for key, child in item.value.items()}
    reference = value.get("python")
    if reference is not None and isinstance(reference.value, str) and ".py:" in reference.value:
        where, _, name = reference.value.rpartition(":")
        path = (reference.mark.source.folder / Path(where).expanduser()).resolve()
        value["python"] = Item(f"{path}:{name}", reference.mark, reference.key)
    return Item(value, item.mark, item.key)


def compose(root: Item, problem: int, solver: int) -> Item:
    """The spec of a run, without seed and tuned values.

    Args:
        root: a benchmark, expanded; its entries may be faulty.
        problem, solver: positions in its lists.
    """
    entries = {"problem": _at(root, "problems", problem), "solver": _at(root, "solvers", solver)}
    value = {part: found for part, entry in entries.items() if (found := _get(entry, part)) is not None}
    for section in DEFERRED:
        layers = [_get(layer, section) for layer in (root, *entries.values())]
        given = [layer for layer in layers if layer is not None]
        if given:
            merged = given[0]
            for layer in given[1:]:
                merged = merge(merged, layer)
            value[section] = merged
    return Item(value, root.mark, root.key)


def overlay(root: Item, values: Mapping[str, Item]) -> Item:
    """`root` with a value at each dotted key: `{"training.optimizer.lr": …}`. Sections on the way are made; a number
    steps into a list that is there."""
    for key, item in values.items():
        root = _laid(root, key.split("."), item)
    return root


def _laid(root: Item, path: Sequence[str], item: Item) -> Item:
    inside: Item | None = root
    for place, key in enumerate(path):
        if inside is None:
            break
        if isinstance(inside.value, list) and key.isdecimal() and int(key) < len(inside.value):
            entries = [*inside.value]
            entries[int(key)] = _laid(entries[int(key)], path[place + 1 :], item)
            path, item = path[:place], Item(entries, inside.mark, inside.key)
            break
        inside = _get(inside, key)
    if not path:
        return item
    over = item
    for section in reversed(path):
        over = Item({section: over}, item.mark, item.at)
    return merge(root, over, root=True)


def _at(root: Item, key: str, position: int) -> Item:
    entry: Item = root.value[key].value[position]
    return entry


def _get(item: Item, key: str) -> Any:
    return item.value.get(key) if isinstance(item.value, dict) else None
