"""`--set key.path=VALUE`: one value of a spec exchanged, with the command line as its position."""

from __future__ import annotations

from pathlib import Path

from moframework.config.words import shown
from moframework.errors import shortened
from moframework.spec.extending import SpecReader
from moframework.spec.limits import Allowance
from moframework.spec.marks import Item, Mark, plain
from moframework.spec.reading import read_yaml

__all__ = ["override"]


def override(root: Item, text: str, reader: SpecReader) -> Item:
    """`root` with one override applied; faults are collected in `reader`.

    The value is YAML and replaces what was there, a whole section when it is a mapping. Sections on the way that the
    spec does not have are made; a number steps into a list.

    Args:
        root: the spec, a mapping.
        text: for example `solver.rank=4` or `solver={name: palora, rank: 2}`.
        reader: of the spec; relative paths in the value start from the current folder.

    Returns:
        the new tree, or `root` itself when the override is at fault.
    """
    source = reader.source(f"--set {shortened(text, 200)}", Path.cwd())
    keys, equals, value = text.partition("=")
    path = tuple(keys.split("."))
    if not equals or not all(path):
        reader.fail(Mark(source, 1, 1), "an override is KEY=VALUE, with dots between keys: solver.rank=4")
        return root
    if path == ("extends",):
        reader.fail(Mark(source, 1, 1), "cannot be overridden; write it into a spec", path)
        return root
    if len(path) > Allowance.DEPTH:
        reader.fail(Mark(source, 1, 1), f"is nested too deeply: a key has at most {Allowance.DEPTH} parts")
        return root
    found, faults = read_yaml(value, source, column=len(keys) + 2, allowance=reader.allowance)
    reader.faults += faults
    if found is None and faults:
        return root
    starts = [Mark(source, 1, 1 + sum(len(key) + 1 for key in path[:i])) for i in range(len(path))]
    new = Item(None, Mark(source, 1, len(keys) + 2)) if found is None else found
    return _replaced(root, path, 0, new, starts, reader) or root


def _replaced(
    item: Item | None, path: tuple[str, ...], depth: int, new: Item, starts: list[Mark], reader: SpecReader
) -> Item | None:
    """`item` with `new` at `path[depth:]`; None after a fault."""
    if depth == len(path):
        return Item(new.value, new.mark, starts[depth - 1])
    key, start = path[depth], starts[depth]
    if item is None or item.value is None:
        item = Item({}, start, starts[depth - 1] if depth else start)
    elif isinstance(item.value, str):  # the name of a part, which gets options
        item = Item({"name": Item(item.value, item.mark, item.key)}, item.mark, item.key)
    if isinstance(item.value, dict):
        existing = next((k for k in item.value if str(k) == key), key)
        child = _replaced(item.value.get(existing), path, depth + 1, new, starts, reader)
        return None if child is None else Item(item.value | {existing: child}, item.mark, item.key)
    if isinstance(item.value, list):
        if not key.isdecimal() or int(key) >= len(item.value):
            have = f"0 to {len(item.value) - 1}" if item.value else "none, the list is empty"
            message = f"no such place in the list at {item.mark}; allowed: {have}"
            reader.fail(start, message, path[: depth + 1])
            return None
        at = int(key)
        child = _replaced(item.value[at], path, depth + 1, new, starts, reader)
        return None if child is None else Item([*item.value[:at], child, *item.value[at + 1 :]], item.mark, item.key)
    message = f"{'.'.join(path[:depth])} has no keys: it is {shown(plain(item))} ({item.mark})"
    reader.fail(start, message, path[: depth + 1])
    return None
