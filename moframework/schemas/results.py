"""The JSON Schema of each file of results, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["RESULT_FILES", "result_schema"]

RESULT_FILES: Mapping[str, str] = {
    "status": "status.json",
    "data": "data.json",
    "environment": "environment.json",
    "front": "front-*.json",
    "history": "history.json",
    "model": "model/model.json",
    "preparation": "model/preparation.json",
    "report": "report.json",
    "results": "results.json",
}
"""By name of the schema: which files it describes, as a pattern below the folder of a run, or, of `results`, of a
benchmark."""


def result_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft-07) of one kind of file, in the format that this version writes.

    Args:
        name: one of `RESULT_FILES`.

    Raises:
        KeyError: there is no such kind.

    >>> result_schema("front")["title"], result_schema("front")["properties"]["format"]["const"]
    ('moframework front-SPLIT.json', 2)
    """
    if name not in RESULT_FILES:
        raise KeyError(f"no file of results is called '{name}'; there are: {', '.join(RESULT_FILES)}")
    schema: dict[str, Any] = json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))
    return schema
