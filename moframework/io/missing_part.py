"""What to say of a run or a model whose parts another package brought that is not installed here."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from moframework.errors import RunError
from moframework.io.sealed import read_json, read_sealed_yaml

__all__ = ["ENVIRONMENT", "missing_part_told", "run_of_spec"]

ENVIRONMENT = "environment.json"
"""Name of the file of a run that has the packages of then."""
_SPEC, _STATUS = "spec.yaml", "status.json"

_UNKNOWN = re.compile(r"\S*: no (?P<noun>[\w ]+) called '(?P<name>[\w.-]+)'[;:]")
"""What the reading of a spec says of a name that nothing has. One that no part can have, as `os:getcwd`, is none of a
plug-in."""


def run_of_spec(file: Path) -> Path | None:
    """The run whose spec a file is, as the run wrote it; None where it is another spec, or was changed since."""
    if file.name != _SPEC or not any((file.parent / name).is_file() for name in (ENVIRONMENT, _STATUS)):
        return None
    try:
        read_sealed_yaml(file, advice="")
    except RunError:
        return None
    return file.parent


def missing_part_told(line: str, folder: Path) -> str:
    """A line of an error about something that was made before: where it says that nothing has a name, that is no
    mistake there, which was read then, and the line says which package to install instead.

    Args:
        folder: of the run, or of a model.
    """
    found = _UNKNOWN.search(line)
    if found is None:
        return line
    environment = folder / ENVIRONMENT
    gone = _gone(environment)
    source = (
        f"one of the packages that {environment} has and this Python has not: {', '.join(gone)}"
        if gone
        else "a plug-in that was installed when it was made, perhaps in another version"
    )
    return (
        f"{folder}: its {found['noun']} '{found['name']}' is not installed here. It came from {source}. Install that, "
        "and leave its files as they are; `moframework doctor` tells which plug-ins there are"
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
