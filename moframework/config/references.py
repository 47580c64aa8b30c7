"""How a spec says which class it means: by a registered name, or by `python: ./file.py:Class`."""

from __future__ import annotations

import hashlib
import importlib
import sys
import traceback
import types
from pathlib import Path
from typing import Any

from moframework.config import registry
from moframework.config.options import Component
from moframework.errors import MoframeworkError, nearest

__all__ = ["load_reference", "reference_to", "remember"]

_WRITTEN: dict[type, dict[str, str]] = {}
_FILES: dict[Path, tuple[tuple[int, int], Any]] = {}


def load_reference(reference: str, base: Path | None) -> tuple[object, str]:
    """Import what a `python:` reference names. This runs the code of that file or module.

    Args:
        reference: `./file.py:Name`, relative to `base`, or `package.module:Name`.
        base: folder of the spec; None means the current folder.

    Returns:
        the object, and the reference with the file's absolute path.

    Raises:
        MoframeworkError: malformed, no such file or module, it fails when imported, or has no such name.
    """
    where, separator, name = reference.rpartition(":")
    if not separator or not where or not name:
        raise MoframeworkError(f"'{reference}' is no reference; write ./file.py:Class or package.module:Class")
    if where.endswith(".py"):
        path = ((base or Path()) / Path(where).expanduser()).resolve()
        module, where = _load_file(path), str(path)
    else:
        module = _load_module(where)
    found: object = module
    for part in name.split("."):
        if not hasattr(found, part):
            names = [n for n, v in vars(found).items() if callable(v) and not n.startswith("_")]
            guess = nearest(part, names)
            raise MoframeworkError(f"{where} has no '{name}'" + (f"; did you mean '{guess}'?" if guess else ""))
        found = getattr(found, part)
    return found, f"{where}:{name}"


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
    except Exception as error:
        raise MoframeworkError(f"module '{name}' cannot be imported: {type(error).__name__}: {error}") from error


def _load_file(path: Path) -> Any:
    if not path.is_file():
        guess = nearest(path.name, (p.name for p in path.parent.glob("*.py"))) if path.parent.is_dir() else None
        raise MoframeworkError(f"there is no file {path}" + (f"; did you mean '{guess}'?" if guess else ""))
    state = path.stat()
    version = (state.st_mtime_ns, state.st_size)
    if path in _FILES and _FILES[path][0] == version:
        return _FILES[path][1]
    # A name of its own, so that files of equal name do not clash; sys.modules must know it before its classes are made.
    name = f"moframework_file_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{path.stem}"
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except Exception as error:
        del sys.modules[name]
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else (lines[-1] if lines else None)
        at = f" (line {line})" if line is not None else ""
        raise MoframeworkError(f"{path}{at} cannot be imported: {type(error).__name__}: {error}") from error
    _FILES[path] = (version, module)
    return module
