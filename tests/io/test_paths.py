from __future__ import annotations

from pathlib import Path

import pytest

from moframework.io.paths import nearest_folder, path_fault


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


def test_the_folder_that_may_be_meant(tmp_path: Path) -> None:
    for name in ("quickstart", "other"):
        (tmp_path / "runs" / name / "model").mkdir(parents=True)
        (tmp_path / "runs" / name / "spec.yaml").touch()

    def found(path: str) -> str | None:
        near = nearest_folder(tmp_path / path, lambda folder: (folder / "spec.yaml").is_file())
        return None if near is None else near.relative_to(tmp_path).as_posix()

    assert found("runs/quikstart") == "runs/quickstart"
    assert found("run/quickstart") == "runs/quickstart", "the folder is misspelt"
    assert found("runs") == "runs/other", "the folder of runs"
    assert found("runs/quickstart/model") == "runs/quickstart", "a part of a run"
    assert found("runs/zzz") is None
    assert found("nowhere/at/all") is None
    assert nearest_folder(Path("x/y/z"), Path.is_file) is None
