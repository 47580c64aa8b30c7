"""Figures of one run and of several, as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from matplotlib.lines import Line2D

from moframework.errors import RunError
from moframework.report.figures import FORMATS, runs_figure, write_figure
from moframework.run.run import Run
from tests.pareto.labels import crowded
from tests.report.runs import shown_runs

__all__ = ["shown_runs"]

Runs = Mapping[str, Path]
STARTS = {"pdf": b"%PDF", "svg": b"<?xml", "png": b"\x89PNG"}


def test_every_format_is_written_whole(shown_runs: Runs, tmp_path: Path) -> None:
    for kind in FORMATS:
        write_figure([shown_runs["palora"]], tmp_path / f"front.{kind}", columns=[["left/loss", "right/loss"]])
        assert (tmp_path / f"front.{kind}").read_bytes().startswith(STARTS[kind])
    with pytest.raises(RunError, match=r"is written as \.pdf, \.svg, \.png, not as '\.gif'"):
        write_figure([shown_runs["palora"]], tmp_path / "front.gif")
    assert len(list(tmp_path.iterdir())) == len(FORMATS)


def test_several_runs_have_colors_and_shapes(shown_runs: Runs) -> None:
    names = ("palora", "points", "single", "stl")
    figure = runs_figure([shown_runs[name] for name in names], size=(5, 3))
    (legend,) = figure.legends
    handles = [one for one in legend.legend_handles if isinstance(one, Line2D)][:4]
    assert [text.get_text() for text in legend.get_texts()][:4] == list(names)
    assert len({one.get_color() for one in handles}) == len({one.get_marker() for one in handles}) == 4
    losses, accuracy = figure.axes
    assert (losses.get_xlabel(), accuracy.get_ylabel()) == ("loss of left  (← better)", "accuracy of right  (↑ better)")
    drawn = sum(len(line.get_xdata()) for line in losses.lines if line.get_linestyle() == "None")
    assert drawn == 5 + 3 + 1 + 1
    assert crowded(figure) == []
    assert "4 runs" in figure.get_suptitle()


def test_three_tasks_have_pairs_or_parallel_coordinates(shown_runs: Runs) -> None:
    run = shown_runs["three"]
    tasks = Run(run).front("val").tasks
    assert len(runs_figure([run], split="val").axes) == 4
    columns = [[f"{task}/loss" for task in tasks] + [f"{tasks[0]}/preference"]]
    figure = runs_figure([run], columns=columns, titled=False)
    assert [label.get_text().split("\n")[0] for label in figure.axes[0].get_xticklabels()] == columns[0]
    assert crowded(figure) == []


def test_columns_that_are_not_there_are_told(shown_runs: Runs) -> None:
    with pytest.raises(RunError, match="palora: the front has no column 'left/los'; did you mean 'left/loss'"):
        runs_figure([shown_runs["palora"]], columns=[["left/los"]])
