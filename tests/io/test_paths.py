from __future__ import annotations

from pathlib import Path

import pytest

from moframework.io.paths import path_fault


@pytest.mark.parametrize("path", ["a", "a/b.yaml", "/", "", "ä" * 127, "a/" * 2000, Path("specs/quickstart.yaml")])
def test_what_can_be_a_path(path: str | Path) -> None:
    assert path_fault(path) is None


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("a\0b", r"it holds the character \0"),
        ("ä" * 128, "one of its names has 256 bytes, and 255 are the most"),
        ("a/" * 2048, "it has 4,096 bytes, and 4,095 are the most"),
        ("a\ud800b", "it holds characters that no file name has"),
    ],
)
def test_what_cannot(path: str, words: str) -> None:
    assert path_fault(path) == words
