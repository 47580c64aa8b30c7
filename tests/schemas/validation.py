"""Files of results held against their schemas, for tests of whatever writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator

from moframework.schemas import RESULT_FILES, result_schema

__all__ = ["faults", "files", "wrong"]


def faults(name: str, content: Any) -> list[str]:
    """What is wrong with the content of a file, by the schema of that name: a line each, beginning with its place."""
    errors = Draft7Validator(result_schema(name)).iter_errors(content)
    return [f"{error.json_path}: {error.message}" for error in errors]


def files(folder: Path) -> dict[Path, str]:
    """Every JSON file below a folder of a run or a benchmark, and the name of its schema.

    Raises:
        KeyError: one has none.
    """
    names = {pattern.rpartition("/")[2]: name for name, pattern in RESULT_FILES.items()}
    found = {path for path in folder.rglob("*.json") if not path.name.startswith(".")}
    return {path: names["front-*.json" if path.name.startswith("front-") else path.name] for path in sorted(found)}


def wrong(folder: Path) -> list[str]:
    """What is wrong with the JSON files below a folder: a line each, beginning with the file."""
    return [
        f"{path.relative_to(folder)}: {fault}"
        for path, name in files(folder).items()
        for fault in faults(name, json.loads(path.read_text(encoding="utf-8")))
    ]
