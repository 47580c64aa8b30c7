from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from moframework.benchmark.cells import Cell, cell
from moframework.benchmark.loading import load_benchmark
from moframework.cli.progress import BenchmarkLines, duration
from tests.benchmark.parts import tiny
from tests.benchmark.test_estimating import finish


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    """Three seeds, of which seed 0 has taken 10 seconds."""
    benchmark = load_benchmark(tiny(seeds=[0, 1, 2]))
    finish(benchmark, tmp_path, (0, 0), 0, took=10.0)
    return [cell(benchmark, tmp_path, 0, 0, seed) for seed in (0, 1, 2)]


def test_lines_and_the_time_left(cells: list[Cell]) -> None:
    text = io.StringIO()
    with BenchmarkLines(Console(file=text, width=200, highlight=False, markup=False)) as lines:
        lines.planned(3, 1)
        lines.waiting(cells[1:], 1)
        lines.started(cells[1])
        cells[1].folder.mkdir()
        cells[1].fail("Error: no\n")
        lines.ended(cells[1], 2.0)
    assert text.getvalue().splitlines() == [
        "2 of 3 cells to run, 1 are done already",
        "started  small, adapters, seed 1",
        "[2/3] failed  small, adapters, seed 1 in 2 s: Error: no; about 10 s left",
    ]


def test_a_live_table_in_a_terminal(cells: list[Cell]) -> None:
    text = io.StringIO()
    console = Console(file=text, width=100, force_terminal=True, highlight=False, markup=False)
    with BenchmarkLines(console) as lines:
        lines.planned(3, 1)
        lines.waiting(cells[1:], 2)
        lines.started(cells[1])
        console.print(lines._table())
    said = text.getvalue()
    assert "small, adapters, seed 1" in said
    assert "1 of 3 cells, 1 wait, about 10 s left" in said
    assert "started  small, adapters, seed 1" in said


def test_without_any_estimate(tmp_path: Path) -> None:
    benchmark = load_benchmark(tiny())
    own = [cell(benchmark, tmp_path, 0, 0, seed) for seed in (0, 1)]
    lines = BenchmarkLines(Console(file=io.StringIO()))
    lines.waiting(own, 1)
    lines.started(own[0])
    assert lines._left() is None


@pytest.mark.parametrize(("seconds", "text"), [(42.4, "42 s"), (180, "3 min"), (9000, "2.5 h")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_pipe_gets_no_live_table_where_colors_are_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    pipe = io.StringIO()
    monkeypatch.setattr("sys.stderr", pipe)
    with BenchmarkLines() as lines:
        lines.planned(3, 1)
    assert pipe.getvalue() == "2 of 3 cells to run, 1 are done already\n"
