"""How a spec says which class it means: by a registered name, or by `python: ./file.py:Class`."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
import traceback
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from moframework.config import registry
from moframework.config.options import OF_FILE, Component
from moframework.errors import MoframeworkError, nearest

__all__ = [
    "Reference",
    "know",
    "known",
    "lasting_name",
    "reference_to",
    "references",
    "relative_references",
    "remember",
]

_Version = tuple[int, int]

_WRITTEN: dict[type, dict[str, str]] = {}
_FILES: dict[Path, tuple[_Version, Any]] = {}
_KNOWN: dict[tuple[type[Component], str], tuple[type[Component], _Version | None]] = {}


@frozen
class Reference:
    """What a `python:` reference names. Making one, and asking it, imports nothing; `load` does."""

    where: Path | str
    """An absolute path of a file, or the name of a module."""
    name: str
    """In it, with dots where it lies in a class."""

    @classmethod
    def read(cls, text: str, base: Path | None) -> Reference:
        """A reference as a spec writes it.

        Args:
            text: `./file.py:Name`, relative to `base`, or `package.module:Name`.
            base: folder of the spec; None means the current folder.

        Raises:
            MoframeworkError: it is neither.
        """
        where, separator, name = text.rpartition(":")
        if not separator or not where or not name:
            raise MoframeworkError(f"'{text}' is no reference; write ./file.py:Class or package.module:Class")
        if not where.endswith(".py"):
            return cls(where, name)
        try:
            return cls(((base or Path()) / Path(where).expanduser()).resolve(), name)
        except (ValueError, RuntimeError, OSError) as error:  # a null character, a home of nobody, a circle of links
            raise MoframeworkError(f"{where!r} is no path: {error}") from error

    def __str__(self) -> str:
        return f"{self.where}:{self.name}"

    @property
    def action(self) -> str:
        """What `load` does, in words: `run the file …`, `import the module …`."""
        return f"run the file {self.where}" if isinstance(self.where, Path) else f"import the module {self.where}"

    @property
    def loaded(self) -> bool:
        """Whether this process has run that file, as it is now, or imported that module."""
        if isinstance(self.where, Path):
            return self.where in _FILES and _FILES[self.where][0] == _version(self.where)
        return self.where in sys.modules

    @property
    def changed(self) -> bool:
        """Whether the file is another one than this process has run."""
        there = _version(self.where) if isinstance(self.where, Path) and self.where in _FILES else None
        return there is not None and not self.loaded

    def load(self) -> object:
        """The object that is named. This runs the code of its file or module, unless that was done before.

        Raises:
            MoframeworkError: there is no such file or module, it fails when imported, or has no such name.
        """
        module = _load_file(self.where) if isinstance(self.where, Path) else _load_module(self.where)
        found: object = module
        for part in self.name.split("."):
            if not hasattr(found, part):
                names = [n for n, v in getattr(found, "__dict__", {}).items() if callable(v) and not n.startswith("_")]
                guess = nearest(part, names)
                hint = f"; did you mean '{guess}'?" if guess else ""
                raise MoframeworkError(f"{self.where} has no '{self.name}'{hint}")
            found = getattr(found, part)
            if isinstance(found, types.ModuleType):
                raise MoframeworkError(
                    f"{self} leads into another module, {found.__name__}: a reference names what its own file or "
                    "module has"
                )
        return found


def lasting_name(reference: Reference) -> str:
    """A reference as another process finds what it names: what is in the file that Python was started with, by its
    path. What a notebook defines no other process finds."""
    file = getattr(sys.modules.get("__main__"), "__file__", None) if reference.where == "__main__" else None
    return str(reference) if file is None else f"{Path(file).resolve()}:{reference.name}"


def references(value: object) -> Iterator[str]:
    """Every `python:` reference in plain data, each once, in order; nothing is imported.

    >>> list(references({"solver": {"python": "./mine.py:Mine"}, "seed": 1}))
    ['./mine.py:Mine']
    """
    yield from dict.fromkeys(_references(value))


def relative_references(value: Any, folder: Path) -> Any:
    """Plain data for a file in `folder`: references to files, which are absolute, are written relative to it, as they
    are read again. So what is moved together stays together.

    >>> relative_references({"python": "/project/mine.py:Mine", "seed": 1}, Path("/project/runs/first"))
    {'python': '../../mine.py:Mine', 'seed': 1}
    """
    if isinstance(value, list | tuple):
        return [relative_references(item, folder) for item in value]
    if not isinstance(value, Mapping):
        return value
    made = {key: relative_references(item, folder) for key, item in value.items()}
    where, separator, name = made["python"].rpartition(":") if isinstance(made.get("python"), str) else ("", "", "")
    if separator and where.endswith(".py") and Path(where).is_absolute():
        try:
            relative = Path(os.path.relpath(where, folder.resolve())).as_posix()
        except ValueError:  # another drive
            return made
        made["python"] = f"{relative if relative.startswith('.') else './' + relative}:{name}"
    return made


def _references(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "python" and isinstance(item, str) and ":" in item:  # a task or a column may be called so, too
                yield item
            yield from _references(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _references(item)


def know(cls: type[Component], reference: str) -> None:
    """Record that this process has `cls` under a reference with an absolute path: it can be used from now on without
    executing anything."""
    where = Path(reference.rpartition(":")[0])
    version = _FILES[where][0] if where in _FILES else None
    _KNOWN[cls.interface(), reference] = cls, version


def known(reference: Reference, interface: type[Component]) -> type[Component] | None:
    """The part that this process has under a reference, taken from the file as it is now; None where there is none.

    A file that is no longer there, or that Python was started with, counts as unchanged. Nothing is executed.
    """
    cls, version = _KNOWN.get((interface.interface(), str(reference)), (None, None))
    if cls is None or not issubclass(cls, interface):
        return None
    now = _version(reference.where) if isinstance(reference.where, Path) else None
    return None if version is not None and now is not None and now != version else cls


def remember(cls: type[Component], written: dict[str, str]) -> None:
    """Record how a spec named `cls`, so that it is written that way again. The first way stays."""
    _WRITTEN.setdefault(cls, written)


def reference_to(cls: type[Component]) -> dict[str, str]:
    """How a spec names `cls`: `{"name": …}`, `{"python": …}`, or nothing for the interface's unnamed part.

    Raises:
        MoframeworkError: it has no name and cannot be imported by one.
    """
    if cls is cls.unnamed:
        return {}
    if cls not in _WRITTEN:
        _WRITTEN[cls] = _registered(cls) or _importable(cls)
        if "python" in _WRITTEN[cls]:
            know(cls, _WRITTEN[cls]["python"])
    return _WRITTEN[cls]


def _registered(cls: type[Component]) -> dict[str, str] | None:
    interface = cls.interface()
    target = f"{cls.__module__}:{cls.__qualname__}"
    if interface.kind in registry.kinds():
        for entry in registry.entries(interface.kind):
            if entry.target == target:
                return {"name": entry.name}
    for name in interface.names():
        try:
            if interface.lookup(name) is cls:
                return {"name": name}
        except MoframeworkError:  # a broken plug-in harms only itself
            continue
    return None


def _importable(cls: type[Component]) -> dict[str, str]:
    module = sys.modules.get(cls.__module__)
    found: object = module
    for part in cls.__qualname__.split("."):
        found = getattr(found, part, None)
    # A class made around a function is found again through that function.
    if found is None or (found is not cls and found is not getattr(cls, "function", None)):
        raise MoframeworkError(
            f"{cls.__module__}.{cls.__qualname__} cannot be written in a spec: "
            "it is neither registered nor importable by name"
        )
    file = getattr(module, "__file__", None)
    # A file run as a script, or loaded by reference, is found again by its path alone.
    by_path = cls.__module__ == "__main__" or any(loaded is module for _, loaded in _FILES.values())
    if by_path and file is not None:
        return {"python": f"{Path(file).resolve()}:{cls.__qualname__}"}
    return {"python": f"{cls.__module__}:{cls.__qualname__}"}


def _load_module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            raise MoframeworkError(f"there is no module '{name}'; for a file write ./{name}.py:Class") from error
        raise MoframeworkError(f"module '{name}' cannot be imported: {error}") from error
    except (Exception, SystemExit) as error:
        raise MoframeworkError(f"module '{name}' cannot be imported: {type(error).__name__}: {error}") from error


def _version(path: Path) -> _Version | None:
    """What tells one content of a file from another; None where there is no file."""
    try:
        state = path.stat()
    except (OSError, ValueError):
        return None
    return state.st_mtime_ns, state.st_size


def _load_file(path: Path) -> Any:
    if not path.is_file():
        guess = nearest(path.name, (p.name for p in path.parent.glob("*.py"))) if path.parent.is_dir() else None
        raise MoframeworkError(f"there is no file {path}" + (f"; did you mean '{guess}'?" if guess else ""))
    version = _version(path)
    assert version is not None, "the file was there a moment ago"
    if path in _FILES and _FILES[path][0] == version:
        return _FILES[path][1]
    # A name of its own, so that files of equal name do not clash; sys.modules must know it before its classes are made.
    name = f"{OF_FILE}{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{path.stem}"
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else (lines[-1] if lines else None)
        at = f" (line {line})" if line is not None else ""
        raise MoframeworkError(f"{path}{at} cannot be imported: {type(error).__name__}: {error}") from error
    _FILES[path] = (version, module)
    return module
