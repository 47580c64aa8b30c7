"""Files of runs that a test changes as their own program would: with the checksum that belongs to the new content."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moframework.io.sealed import read_json, read_sealed_yaml, write_json, write_sealed_yaml

__all__ = ["change_json", "change_text"]


def change_json(path: Path, **changes: Any) -> dict[str, Any]:
    """Replace values of a JSON file; the new content."""
    content = {**read_json(path, advice="", newest=9), **changes}
    write_json(path, content)
    return content


def change_text(path: Path, change: Callable[[str], str]) -> None:
    """Change the text of a YAML or JSON file."""
    if path.suffix == ".yaml":
        write_sealed_yaml(path, change(read_sealed_yaml(path, advice="")))
    else:
        write_json(path, json.loads(change(json.dumps(read_json(path, advice="", newest=9)))))
