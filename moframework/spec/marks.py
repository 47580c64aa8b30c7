"""Values that remember where they were written: the tree between YAML text and option objects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from moframework.config.structure import KeyPath, where
from moframework.spec.limits import Allowance

__all__ = ["Item", "Located", "Mark", "Source", "from_plain", "locate", "plain", "size"]


@attrs.frozen(eq=False)
class Source:
    """One text that values come from: a file, or an override of the command line."""

    name: str
    """As messages show it; empty for values given from Python, which have no position."""
    folder: Path
    """What relative paths in it start from."""
    order: int
    """Messages are sorted by it first."""


@attrs.frozen
class Mark:
    """A position in a source, both numbers counted from 1."""

    source: Source
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"


@attrs.frozen
class Item:
    """A value with its position: a scalar, a list of items, or a dict of items."""

    value: Any
    mark: Mark
    key: Mark | None = None
    """Where its key stands, for a value in a mapping."""

    @property
    def at(self) -> Mark:
        """Where a message about the whole section points: at its key, when it has one."""
        return self.mark if self.key is None else self.key


@attrs.frozen
class Located:
    """A fault with its position, ready to print."""

    mark: Mark
    path: KeyPath
    message: str

    def __str__(self) -> str:
        parts = [str(self.mark) if self.mark.source.name else "", where(self.path), self.message]
        return ": ".join(part for part in parts if part)

    @property
    def order(self) -> tuple[int, int, int]:
        """Sorts by source, line and column."""
        return (self.mark.source.order, self.mark.line, self.mark.column)


def plain(item: Item) -> Any:
    """The value without positions."""
    if isinstance(item.value, dict):
        return {key: plain(child) for key, child in item.value.items()}
    if isinstance(item.value, list):
        return [plain(child) for child in item.value]
    return item.value


def from_plain(value: object, mark: Mark, allowance: Allowance | None = None, depth: int = 0) -> Item:
    """Plain data as items that all have one position.

    Raises:
        TooLargeError: it takes more than what is left of `allowance` (None: of a whole one), or contains itself.
    """
    allowance = Allowance() if allowance is None else allowance
    allowance.take_values(depth=depth)
    if isinstance(value, Mapping):
        allowance.take_values(len(value))
        return Item({key: from_plain(child, mark, allowance, depth + 1) for key, child in value.items()}, mark, mark)
    if isinstance(value, list | tuple):
        return Item([from_plain(child, mark, allowance, depth + 1) for child in value], mark, mark)
    return Item(value, mark, mark)


def size(item: Item) -> int:
    """How many values there are in it, itself among them."""
    if isinstance(item.value, dict):
        return 1 + sum(1 + size(child) for child in item.value.values())
    if isinstance(item.value, list):
        return 1 + sum(size(child) for child in item.value)
    return 1


def locate(root: Item, path: KeyPath, *, on_key: bool = False) -> Mark:
    """Where `path` was written. For a key that is missing, where its section is."""
    item = root
    for key in path:
        child: Item | None = None
        if isinstance(item.value, dict):
            # Keys of a path are texts, but for positions in lists; those of a mapping can be numbers too.
            child = item.value.get(key)
            if child is None:
                child = next((c for k, c in item.value.items() if not isinstance(k, str) and str(k) == str(key)), None)
        elif isinstance(item.value, list) and isinstance(key, int) and key < len(item.value):
            child = item.value[key]
        if child is None:
            return item.at if isinstance(item.value, dict | list) else item.mark
        item = child
    return item.at if on_key else item.mark
