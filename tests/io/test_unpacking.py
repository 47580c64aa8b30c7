"""Compressed files that unpack to more than files of their size do; limits are lowered, so that nothing is large."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from moframework.io import unpacking
from moframework.io.unpacking import open_gzip, unpacked_limit


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(unpacking, "_FREE", 20_000)
    return 20_000


def test_limits_grow_with_the_file() -> None:
    assert unpacked_limit(0) == unpacked_limit(1000) == 128 * 2**20
    assert unpacked_limit(10 * 2**30) == 1000 * 2**30


def test_up_to_the_limit_all_is_read(tmp_path: Path, limit: int) -> None:
    content = b"12,345\n" * (limit // 7)
    (tmp_path / "a.gz").write_bytes(gzip.compress(content))
    with open_gzip(tmp_path / "a.gz") as file:
        assert file.read() == content
    with io.TextIOWrapper(open_gzip(tmp_path / "a.gz")) as text:
        assert "".join(text).encode() == content
    with open_gzip(tmp_path / "a.gz") as file:
        assert b"".join(iter(lambda: file.read(999), b"")) == content


def pieces(file: IO[bytes], way: str) -> Iterator[bytes | str]:
    if way == "whole":
        yield file.read()
    elif way == "buffer":
        buffer = bytearray(10**6)
        yield buffer[: file.readinto(buffer)]  # type: ignore[attr-defined]
    else:
        yield from io.TextIOWrapper(file) if way == "lines" else iter(lambda: file.read(1000), b"")


@pytest.mark.parametrize("way", ["whole", "lines", "buffer", "pieces"])
def test_beyond_the_limit_nothing_is(tmp_path: Path, limit: int, way: str) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"a\n" * limit))
    got: list[int] = []
    with open_gzip(tmp_path / "a.gz") as file, pytest.raises(gzip.BadGzipFile, match="unpacks to more than 20,000"):
        got.extend(len(piece) for piece in pieces(file, way))
    assert sum(got) <= limit
