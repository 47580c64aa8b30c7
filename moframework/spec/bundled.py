"""The specs that come with the package, and how a spec is found by path or by name."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from moframework.config.words import shown
from moframework.errors import SpecError, nearest
from moframework.io.paths import path_fault

__all__ = ["bundled_specs", "find_spec", "specs_folder"]

_LISTED = 10  # names that an error tells
_WITHIN = {
    "benchmark.yaml": "its benchmark is '{spec}'. To read its results again: `moframework benchmark {spec} --out "
    "{folder} --report-only`, in Python run_benchmark('{spec}', '{folder}', report_only=True)",
    "study.yaml": "its study is '{spec}'",
    "spec.yaml": "its spec is '{spec}'",
}
"""What a folder of results holds, and what is said of it where a spec is wanted."""


def specs_folder() -> Path:
    """The folder of the bundled specs: `specs/` of a checkout, or its copy in the installed package."""
    return Path(import_module("moframework.specs").__path__[0])


def bundled_specs() -> dict[str, Path]:
    """Name and file of every bundled spec, sorted: `quickstart`, `paper/multimnist-palora`, …"""
    folder = specs_folder()
    return {p.relative_to(folder).with_suffix("").as_posix(): p for p in sorted(folder.rglob("*.yaml"))}


def find_spec(name: str | Path, folder: Path | None = None) -> Path:
    """The file that `name` means: a path, else the name of a bundled spec (with or without `.yaml`).

    Args:
        name: as written by the user.
        folder: what a relative path starts from; None means the current folder.

    Raises:
        SpecError: there is neither; the text proposes the nearest.
    """
    fault = path_fault(name)
    if fault is not None:
        raise SpecError(f"{shown(str(name))} is no path: {fault}")
    path = Path(name).expanduser()
    path = path if folder is None else folder / path
    if path.is_file():
        return path
    shipped = bundled_specs()
    wanted = str(name).removesuffix(".yaml")
    if wanted in shipped:
        return shipped[wanted]
    if path.is_dir() and (within := next((one for one in _WITHIN if (path / one).is_file()), None)) is not None:
        raise SpecError(f"'{name}' is a folder, not a spec; {_WITHIN[within].format(spec=path / within, folder=name)}")
    what = "is a folder, not a spec" if path.is_dir() else "is neither a file nor a bundled spec"
    found = path.parent.glob("*.y*ml") if path.parent.is_dir() else ()
    beside = {p.name: str(Path(name).parent / p.name) for p in found}
    near_file = nearest(path.name, beside)
    guess = beside[near_file] if near_file is not None else nearest(wanted, shipped)
    if guess:
        raise SpecError(f"'{name}' {what}; did you mean '{guess}'? `moframework specs` lists all that are bundled")
    few = sorted(shipped, key=lambda one: ("/" in one, one))[:_LISTED]
    more = f" and {len(shipped) - len(few)} more" if len(shipped) > len(few) else ""
    raise SpecError(f"'{name}' {what}; bundled: {', '.join(few) or 'none'}{more} (`moframework specs`)")
