"""How much a compressed file may unpack to: a few kilobytes can stand for more than any machine holds."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import IO, Any, cast

__all__ = ["open_gzip", "unpacked_limit"]

_FREE = 128 * 2**20
_RATIO = 100


def unpacked_limit(packed: int) -> int:
    """Bytes that a file of `packed` bytes may unpack to: 128 MiB, or 100 times its size where that is more.

    Text and images shrink to a third or a tenth, tables of few values to a fiftieth; files made to fill a memory
    shrink to a thousandth, which is the most that deflate does.
    """
    return max(_FREE, _RATIO * packed)


def open_gzip(path: Path) -> IO[bytes]:
    """A gzip-compressed file as the bytes in it; reading on beyond `unpacked_limit` raises `gzip.BadGzipFile`.

    Raises:
        OSError: it cannot be opened.
    """
    return cast(IO[bytes], _Limited(path, unpacked_limit(path.stat().st_size)))


class _Limited(gzip.GzipFile):
    """Counts what was read."""

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__(path, "rb")
        self._limit = limit

    def read(self, size: int | None = -1) -> bytes:
        """At most one byte more than the limit is unpacked."""
        left = self._limit + 1 - self.tell()
        asked = left if size is None or size < 0 else min(size, left)
        return self._checked(super().read(asked))

    def read1(self, size: int = -1) -> bytes:
        """As `read`, what one block of the file gives."""
        return self._checked(super().read1(size))

    def readinto(self, buffer: Any) -> int:
        """As `read`, into a buffer."""
        return self._filled(buffer, self.read(len(memoryview(buffer).cast("B"))))

    def readinto1(self, buffer: Any) -> int:
        """As `read1`, into a buffer."""
        return self._filled(buffer, self.read1(len(memoryview(buffer).cast("B"))))

    @staticmethod
    def _filled(buffer: Any, found: bytes) -> int:
        memoryview(buffer).cast("B")[: len(found)] = found
        return len(found)

    def _checked(self, found: bytes) -> bytes:
        if self.tell() > self._limit:
            raise gzip.BadGzipFile(
                f"it unpacks to more than {self._limit:,} bytes, which no data of its size does; if it is meant to, "
                "keep it unpacked"
            )
        return found
