"""What to say of a run whose parts another package brought that is not installed here."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from moframework.errors import RunError, SpecError
from moframework.io.sealed import read_json

__all__ = ["missing_parts_told"]

_UNKNOWN = re.compile(r"\S*: no (?P<noun>[\w ]+) called '(?P<name>[^']*)';")
"""What the reading of a spec says of a name that nothing has."""


@contextlib.contextmanager
def missing_parts_told(folder: Path | None, environment: str) -> Iterator[None]:
    """While inside, that nothing has a name which the spec of a run names is no mistake in that spec, which was read
    when the run was made: the error says which package to install.

    Args:
        folder: of the run; None where the spec is not that of a run: errors stay as they are.
        environment: name of the file there that has the packages of then.
    """
    try:
        yield
    except SpecError as error:
        lines = str(error).splitlines()
        told = lines if folder is None else [_told(line, folder, environment) for line in lines]
        if told == lines:
            raise
        raise SpecError("\n".join(told)) from error


def _told(line: str, folder: Path, environment: str) -> str:
    found = _UNKNOWN.search(line)
    if found is None:
        return line
    gone = _gone(folder / environment)
    source = (
        f"one of the packages that {folder / environment} has and this Python has not: {', '.join(gone)}"
        if gone
        else "a plug-in that was installed when the run was made, perhaps in another version"
    )
    return (
        f"{folder}: its {found['noun']} '{found['name']}' is not installed here. It came from {source}. Install that, "
        "and leave the spec of the run as it is; `moframework doctor` tells which plug-ins there are"
    )


def _gone(environment: Path) -> list[str]:
    """The packages of a run that are not installed here, with their versions."""
    try:
        packages = read_json(environment, advice="").get("packages")
    except RunError:
        return []
    return [f"{name} {version}" for name, version in dict(packages or {}).items() if not _is_installed(name)]


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
