"""A journal: lines come back as they were written; what a kill leaves is removed, and a change is noticed."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from moframework.errors import DamagedFileError
from moframework.io.journal import append_line, read_journal


def written(path: Path) -> Path:
    for i in range(3):
        append_line(path, {"i": i, "x": [0.1 * i, 1 / 3]})
    return path


def test_lines_come_back_to_the_last_bit(tmp_path: Path) -> None:
    lines = read_journal(written(tmp_path / "j.jsonl"), advice="")
    assert lines == [{"i": i, "x": [0.1 * i, 1 / 3]} for i in range(3)]
    assert read_journal(tmp_path / "none.jsonl", advice="") == []


@pytest.mark.parametrize("kept", [1, 10, -1])
def test_an_unfinished_line_is_removed_and_written_over(tmp_path: Path, kept: int) -> None:
    path = written(tmp_path / "j.jsonl")
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    path.write_bytes(whole[: -len(last)] + last[:kept])
    assert [line["i"] for line in read_journal(path, advice="")] == [0, 1]
    append_line(path, {"i": 7})
    assert [line["i"] for line in read_journal(path, advice="")] == [0, 1, 7]


@pytest.mark.parametrize("old", [b"0.2", b'"i": 1', b"crc32"])
def test_a_changed_line_is_damage(tmp_path: Path, old: bytes) -> None:
    path = written(tmp_path / "j.jsonl")
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, old[:-1] + b"9"))
    with pytest.raises(DamagedFileError, match=r"line \d of .*j\.jsonl is damaged.* Do this\."):
        read_journal(path, advice="Do this.")


def test_numbers_that_json_has_not_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_line(tmp_path / "j.jsonl", {"x": math.nan})
    assert not (tmp_path / "j.jsonl").exists()
