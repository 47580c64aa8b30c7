"""The short mode of `python -m tests.faults`: the sections that have no tests of their own elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.__main__ import PAGE, SECTIONS


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_killed_damaged_and_resumed() -> None:
    """In a process of its own, whose threads do not stand in the way of forks."""
    command = [sys.executable, "-m", "tests.faults", "damage", "resumes", "kills"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("0 raw errors, 0 without a place, 0 silently other") == 13


def test_the_page_has_a_place_for_every_section() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in SECTIONS:
        assert text.count(f"<!-- made by `python -m tests.faults` {name} -->") == 1, name
        assert text.count(f"<!-- end {name} -->") == 1, name
