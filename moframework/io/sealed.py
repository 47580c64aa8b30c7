"""Files that end with a checksum of what stands before it, so that damage is noticed when they are read.

The checksum is SHA-256, and its place is one that each format allows: JSON has a last key `sha256`, YAML a last comment
line, a checkpoint the comment of its zip archive. Other readers of these formats need not know of it. Files of earlier
versions have none; they are read as they are.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from attrs import frozen

from moframework.errors import DamagedFileError, NewerFormatError, shortened
from moframework.io.atomic import write_text

__all__ = [
    "FORMAT",
    "checksum",
    "read_json",
    "read_sealed_yaml",
    "seal_json",
    "seal_zip",
    "verify_zip",
    "write_json",
    "write_sealed_yaml",
]

FORMAT = 2
"""The format of JSON files of runs and benchmarks, as their key `format` tells it; the first with checksums. One that
goes on alone has a number of its own."""
_CHUNK = 1 << 20
_LARGE = 16 << 20  # bytes from which bringing a file to disk takes longer than starting a thread for it


@frozen
class _Seal:
    """How a format ends: the checksum between two texts."""

    before: bytes
    after: bytes

    @property
    def size(self) -> int:
        return len(self.before) + 64 + len(self.after)

    def made(self, digest: str) -> bytes:
        return self.before + digest.encode() + self.after

    def found(self, end: bytes) -> str | None:
        """The checksum in the last bytes of a file, or None where they are no seal."""
        match = re.fullmatch(re.escape(self.before) + rb"([0-9a-f]{64})" + re.escape(self.after), end)
        return None if match is None else match[1].decode()


_JSON = _Seal(b',\n  "sha256": "', b'"\n}\n')
_YAML_HEAD = b"# written by moframework, with a checksum on the last line\n"
_YAML = _Seal(b"# sha256: ", b"\n")
_ZIP = _Seal(b"sha256: ", b"")


def seal_json(text: str) -> str:
    """The text of a JSON object that is not empty, its closing brace alone on the last line, with a checksum added as
    its last key."""
    body = text.rstrip().removesuffix("\n}").encode()
    return (body + _JSON.made(hashlib.sha256(body).hexdigest())).decode()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping that is not empty as JSON with a checksum, whole or not at all.

    Args:
        content: plain data without the key `sha256`; numbers may be nan or infinite, as in Python's JSON.
    """
    write_text(path, seal_json(json.dumps(dict(content), indent=2)))


def read_json(path: Path, *, advice: str, newest: int = FORMAT) -> dict[str, Any]:
    """The mapping that `write_json` wrote to `path`, or that an earlier version wrote without a checksum.

    Args:
        advice: what to do when the file cannot be used, as a sentence.
        newest: the largest number under `format` that the caller can read; a file that has no such key is older.

    Raises:
        DamagedFileError: there is no such file, or it is damaged, empty or something else.
        NewerFormatError: its format is beyond `newest`.
    """
    data = _read(path, advice)
    sealed = _verify(path, data, _JSON, advice)
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path} is not JSON ({_short(error)}): it is damaged. {advice}") from None
    if not isinstance(found, dict):
        raise DamagedFileError(f"{path} holds no JSON object: it is damaged or something else. {advice}")
    if not sealed and (b"sha256" in data or _is_sealed_format(found)):
        raise DamagedFileError(f"{path} has lost its checksum: it is damaged, or was changed by hand. {advice}")
    _refuse_newer(path, found, newest, advice)
    found.pop("sha256", None)
    return found


def _is_sealed_format(content: Mapping[str, Any]) -> bool:
    """Whether files of this format are always written with a checksum: format 2 was the first."""
    number = content.get("format", 1)
    return not isinstance(number, int) or number >= 2


def _refuse_newer(path: Path, content: Mapping[str, Any], newest: int, advice: str) -> None:
    number = content.get("format", 1)
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise DamagedFileError(f"{path} has the format {shortened(repr(number))}, which is none of ours. {advice}")
    if number > newest:
        raise NewerFormatError(f"{path} has format {number}; this version reads up to {newest}. Update moframework.")


def write_sealed_yaml(path: Path, text: str) -> None:
    """Write YAML text, whose last line ends, between a first comment line that says that it has a checksum, and a last
    one that has it; whole or not at all."""
    body = _YAML_HEAD + text.encode()
    write_text(path, (body + _YAML.made(hashlib.sha256(body).hexdigest())).decode())


def read_sealed_yaml(path: Path, *, advice: str) -> str:
    """The text that `write_sealed_yaml` was given; what begins with no comment is returned as it is.

    Raises:
        DamagedFileError: there is no such file, or it is damaged or empty.
    """
    data = _read(path, advice)
    if _verify(path, data, _YAML, advice):
        data = data[len(_YAML_HEAD) : -_YAML.size]
    elif data.startswith(b"#"):
        raise DamagedFileError(f"{path} has lost its checksum: it is damaged, or was changed by hand. {advice}")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DamagedFileError(f"{path} is not UTF-8 text ({_short(error)}): it is damaged. {advice}") from None


def seal_zip(path: Path) -> None:
    """Put a checksum of a zip archive that has no comment into its comment.

    A large file is brought to disk meanwhile, which takes longer than to add it up, so that flushing it afterwards has
    little left to do.
    """
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(size - 2)  # an archive without a comment ends with its length, 0
        file.write(_ZIP.size.to_bytes(2, "little"))
        file.flush()
        if size < _LARGE:
            digest = checksum(path)
        else:
            with ThreadPoolExecutor(1) as flusher:
                flushing = flusher.submit(os.fsync, file.fileno())
                digest = checksum(path)
                flushing.result()  # a full disk is told here, and only once
        file.seek(size)
        file.write(_ZIP.made(digest))


def verify_zip(path: Path, *, advice: str) -> bool:
    """Whether a zip archive carries a checksum, which is then right.

    Raises:
        DamagedFileError: there is no such file, it is empty, or the checksum is wrong.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _ZIP.size))
            end = file.read()
    except OSError as error:
        raise DamagedFileError(f"{path} cannot be read ({error.strerror}). {advice}") from error
    if size == 0:
        raise DamagedFileError(f"{path} is empty. {advice}")
    told = _ZIP.found(end)
    if told is not None and told != checksum(path, size - _ZIP.size):
        raise _wrong(path, advice)
    return told is not None


def checksum(path: Path, size: int | None = None) -> str:
    """SHA-256 of a file, or of its first `size` bytes, as 64 hexadecimal digits. Raises `OSError`."""
    digest, left = hashlib.sha256(), path.stat().st_size if size is None else size
    buffer = bytearray(min(_CHUNK, left))
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while left > 0:
            count = file.readinto(view[: min(_CHUNK, left)])
            if not count:
                break
            digest.update(view[:count])
            left -= count
    return digest.hexdigest()


def _read(path: Path, advice: str) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DamagedFileError(f"{path} does not exist. {advice}") from None
    except OSError as error:
        raise DamagedFileError(f"{path} cannot be read ({error.strerror}). {advice}") from error
    if not data.strip():
        raise DamagedFileError(f"{path} is empty. {advice}")
    return data


def _verify(path: Path, data: bytes, seal: _Seal, advice: str) -> bool:
    """Whether `data` ends with a checksum, which is then right. Raises `DamagedFileError` where it is wrong."""
    told = seal.found(data[-seal.size :])
    if told is not None and told != hashlib.sha256(data[: -seal.size]).hexdigest():
        raise _wrong(path, advice)
    return told is not None


def _wrong(path: Path, advice: str) -> DamagedFileError:
    return DamagedFileError(
        f"{path} is not what was written: its SHA-256 is another than the one it ends with, so it is damaged, or was "
        f"changed by hand. {advice}"
    )


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
