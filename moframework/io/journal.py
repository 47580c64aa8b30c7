"""A journal: a file of lines that only grows, each safely on disk before the next, each with a checksum of its own."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moframework.errors import DamagedFileError

__all__ = ["append_line", "read_journal"]

_CHECK = ', "crc32": "'


def append_line(path: Path, content: Mapping[str, Any]) -> None:
    """Add one line to a journal, which is made where there is none; on return it is on disk.

    A process that is killed meanwhile leaves a part of the line at most, which `read_journal` removes.

    Args:
        content: plain data without the key `crc32`, not empty; numbers are finite.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     append_line(Path(folder) / "lines.jsonl", {"x": [0.1]})
    ...     read_journal(Path(folder) / "lines.jsonl", advice="")
    [{'x': [0.1]}]
    """
    body = json.dumps(dict(content), allow_nan=False).removesuffix("}")
    line = f'{body}{_CHECK}{zlib.crc32(body.encode()):08x}"}}\n'
    with path.open("ab") as file:
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def read_journal(path: Path, *, advice: str) -> list[dict[str, Any]]:
    """The lines of a journal, in order; none where there is no file. An unfinished last line is removed.

    Args:
        advice: what to do when a line is damaged, as a sentence.

    Raises:
        DamagedFileError: a line that was written whole has changed since.
    """
    if not path.is_file():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        with path.open("r+b") as file:
            file.truncate(len(whole))
            file.flush()
            os.fsync(file.fileno())
    return [_line(path, i, line, advice) for i, line in enumerate(whole.splitlines(), 1)]


def _line(path: Path, number: int, line: bytes, advice: str) -> dict[str, Any]:
    body, _, check = line.rpartition(_CHECK.encode())
    if check != f'{zlib.crc32(body):08x}"}}'.encode():
        raise DamagedFileError(f"line {number} of {path} is damaged, or was changed by hand. {advice}")
    found: dict[str, Any] = json.loads(body + b"}")
    return found
