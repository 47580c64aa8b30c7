"""The changelog is sorted: newest on top, by kind of change, in lines that can be read anywhere."""

from __future__ import annotations

import re
from pathlib import Path

CHANGELOG = Path(__file__).parents[1] / "docs" / "changelog.md"
LINES = CHANGELOG.read_text(encoding="utf-8").splitlines()
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed"]


def test_what_is_not_released_is_on_top() -> None:
    releases = [line.removeprefix("## ") for line in LINES if line.startswith("## ")]
    assert releases[0] == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)", release) for release in releases[1:])
    assert len(set(releases)) == len(releases)


def test_entries_stand_under_their_kind() -> None:
    below: str | None = None
    seen: list[str] = []
    for line in LINES:
        if line.startswith("## "):
            below, seen = None, []
        elif line.startswith("#"):
            below = line.removeprefix("### ")
            if line.startswith("### "):
                assert below in KINDS, f"'{below}' is none of {KINDS}"
                seen.append(below)
                assert seen == [kind for kind in KINDS if kind in seen], "in this order, each once"
        elif line.startswith("- "):
            assert below in KINDS, f"put it under one of {KINDS}: {line}"
    assert below in KINDS


def test_lines_are_short() -> None:
    assert not [line for line in LINES if len(line) > 120]
