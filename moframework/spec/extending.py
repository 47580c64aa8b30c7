"""A spec file with everything it extends, merged into one tree that still knows where each value was written."""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moframework.config.words import shown
from moframework.errors import SpecError
from moframework.spec.bundled import find_spec, specs_folder
from moframework.spec.limits import Allowance, TooLargeError
from moframework.spec.marks import Item, Located, Mark, Source, from_plain, plain, size
from moframework.spec.reading import read_yaml

__all__ = ["SpecReader", "merge"]


class SpecReader:
    """Reads specs and what they extend, and collects the faults of all of them.

    `broken` says that something could not be read at all, so that what is missing may be missing for that reason;
    `exhausted` that nothing more is read, since what was read is beyond a limit.
    """

    def __init__(self) -> None:
        self.faults: list[Located] = []
        self.broken = False
        self.sources = 0
        self.allowance = Allowance()
        self.exhausted = False
        self._known: dict[Path, Item | None] = {}

    def source(self, name: str, folder: Path) -> Source:
        """A new source, sorted after those before it."""
        self.sources += 1
        return Source(name, folder, self.sources)

    def fail(self, mark: Mark, message: str, path: tuple[str | int, ...] = (), *, broken: bool = False) -> None:
        """Record a fault."""
        self.faults.append(Located(mark, path, message))
        self.broken = self.broken or broken

    def file(self, path: Path, chain: tuple[Path, ...] = ()) -> Item | None:
        """The tree of one file, `extends` resolved; None when it cannot be read. A file is read once, however often it
        is extended."""
        if path in self._known:
            known = self._known[path]
            if known is not None:
                self.allowance.take_values(size(known))
            return known
        self._known[path] = self._file(path, chain)
        return self._known[path]

    def _file(self, path: Path, chain: tuple[Path, ...]) -> Item | None:
        # What a bundled spec names beside itself are files of whoever runs it.
        bundled = specs_folder().absolute() in path.absolute().parents
        source = self.source(str(path), Path.cwd() if bundled else path.parent.absolute())
        start = Mark(source, 1, 1)
        text = self.text(path, start)
        if text is None:
            return None
        root, faults = read_yaml(text, source, allowance=self.allowance)
        self.faults += faults
        if root is None:
            if not faults:
                self.fail(start, "the spec is empty; it needs at least a problem and a solver")
            self.broken = True
            return None
        return self.extended(root, path.parent, (*chain, path))

    def mapping(self, value: Mapping[str, object]) -> Item | None:
        """The tree of a spec given from Python; its relative paths start from the current folder."""
        mark = Mark(self.source("", Path.cwd()), 1, 1)
        try:
            root = from_plain(value, mark, self.allowance)
        except TooLargeError as error:
            self.fail(mark, str(error), broken=True)
            return None
        return self.extended(root, Path.cwd(), ())

    def text(self, path: Path, start: Mark) -> str | None:
        """The content of a file."""
        try:
            with path.open("rb") as file:
                # A character has up to four bytes; what is longer is not read, only told.
                data = file.read(4 * self.allowance.characters + 1)
            if len(data) > 4 * self.allowance.characters:
                self.allowance.take_text(len(data))
        except OSError as error:
            self.fail(start, f"cannot be read: {error.strerror}", broken=True)
            return None
        except TooLargeError as error:
            self.fail(start, str(error), broken=True)
            return None
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = data[: error.start].decode("utf-8-sig").split("\n")
            mark = Mark(start.source, len(before), len(before[-1]) + 1)
            self.fail(mark, f"is not UTF-8 text (byte {data[error.start]:#04x}); save the file as UTF-8", broken=True)
            return None

    def extended(self, root: Item, folder: Path, chain: tuple[Path, ...]) -> Item | None:
        """`root` laid over what its `extends` names."""
        if not isinstance(root.value, dict):
            self.fail(root.mark, f"a spec must be a mapping of options, but it is {shown(plain(root))}", broken=True)
            return None
        extends = root.value.get("extends")
        own = Item({key: item for key, item in root.value.items() if key != "extends"}, root.mark, root.key)
        if extends is None:
            return own
        merged: Item | None = None
        for item in extends.value if isinstance(extends.value, list) else [extends]:
            if self.exhausted:
                break
            base = self.base(item, folder, chain)
            if base is not None:
                merged = base if merged is None else merge(merged, base, root=True)
        return own if merged is None else merge(merged, own, root=True)

    def base(self, item: Item, folder: Path, chain: tuple[Path, ...]) -> Item | None:
        """One spec that another extends."""
        if not isinstance(item.value, str):
            text = f"must be a path, the name of a bundled spec, or a list of those, but it is {shown(plain(item))}"
            self.fail(item.mark, text, ("extends",), broken=True)
            return None
        try:
            path = Path(os.path.normpath(find_spec(item.value, folder)))
        except SpecError as error:
            self.fail(item.mark, str(error), ("extends",), broken=True)
            return None
        same = [i for i, earlier in enumerate(chain) if earlier.resolve() == path.resolve()]
        if same:
            circle = " → ".join(str(p) for p in (*chain[same[0] :], chain[same[0]]))
            text = f"goes round in a circle: {circle}; one of them must not extend"
            self.fail(item.mark, text, ("extends",), broken=True)
            return None
        try:
            self.allowance.take_extended()
            return self.file(path, chain)
        except TooLargeError as error:
            self.exhausted = True
            self.fail(item.mark, str(error), ("extends",), broken=True)
            return None


def merge(base: Item, over: Item, *, root: bool = False) -> Item:
    """`over` laid over `base`: mappings key by key, anything else replaces.

    A text stands for the part of that name. A mapping that names another part than `base` does replaces it whole,
    except at the root, where `name` is the name of the spec.
    """
    given = over
    if not root:
        base, over = _part(base, over), _part(over, base)
    if not isinstance(base.value, dict) or not isinstance(over.value, dict):
        return over
    chosen = _chosen(over)
    if not root and chosen is not None and chosen != _chosen(base):
        return given
    value = dict(base.value)
    for key, item in over.value.items():
        value[key] = merge(value[key], item) if key in value else item
    return Item(value, over.mark, over.key)


def _part(item: Item, other: Item) -> Item:
    """A text beside a mapping as the mapping it is short for."""
    if isinstance(item.value, str) and isinstance(other.value, dict):
        return Item({"name": Item(item.value, item.mark, item.key)}, item.mark, item.key)
    return item


def _chosen(item: Item) -> tuple[str, Any] | None:
    """Which part a mapping names; for one in a Python file, also from which folder."""
    for key in ("name", "python"):
        if key in item.value:
            named = plain(item.value[key])
            in_file = key == "python" or isinstance(named, dict)
            return (str(named), item.value[key].mark.source.folder if in_file else None)
    return None
