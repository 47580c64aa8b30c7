"""A benchmark of many tasks: its tables stay readable, and its files for programs are whole."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from rich.console import Console

from moframework.benchmark.loading import load_benchmark
from moframework.benchmark.results import Results, tables
from moframework.benchmark.running import run_benchmark
from moframework.cli.tables import print_results
from tests.benchmark.parts import tiny

TASKS = 24
LEFT_OUT = "19 more columns, of the tasks attribute6 to attribute24, are in results.csv and results.json."


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path]:
    folder = tmp_path_factory.mktemp("many")
    problem = {"name": "textures", "attributes": TASKS, "train": 64, "val": 32, "test": 32}
    spec = tiny(
        problems=[{"problem": problem, "label": "textures"}], solvers=["palora", "single"], seeds=[0],
        training={"steps": 2, "batch_size": 32},
    )  # fmt: skip
    return run_benchmark(load_benchmark(spec), folder), folder


def test_a_table_has_the_columns_of_some_tasks_and_says_where_the_rest_is(many: tuple[Results, Path]) -> None:
    results, folder = many
    (group,) = results.groups
    assert len(group.columns) - len(group.shown) == TASKS - 5
    headings, *rows = tables(results, group)
    assert [text for text in headings if text.startswith("best ")] == [
        f"best accuracy, attribute{i}" for i in range(1, 6)
    ]
    assert {len(row) for row in rows} == {len(headings)}
    page = (folder / "results.md").read_text()
    assert LEFT_OUT in page
    assert "attribute7" not in page
    assert "reference (1 for each of 24 tasks)" in page
    assert page.count("best accuracy, attribute") == 5 + 1, "headings, and one line that says what they are"
    assert (
        "- best accuracy, attribute1 to attribute5: the best accuracy of the task along the front; other columns"
        in page
    )
    assert LEFT_OUT in (folder / "results.html").read_text()


def test_latex_and_the_command_line_have_the_same(
    many: tuple[Results, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    results, folder = many
    text = (folder / "results.tex").read_text()
    assert f"% textures: {LEFT_OUT}" in text
    rows = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert {row.count(" & ") for row in rows} == {len(tables(results, results.groups[0])[0]) - 1}
    print_results(Console(width=200), folder, results)
    said = capsys.readouterr().out
    assert LEFT_OUT in said
    assert "attribute6 " not in said.replace(LEFT_OUT, "")


def test_programs_get_all_columns(many: tuple[Results, Path]) -> None:
    _, folder = many
    (headings, *_) = csv.reader((folder / "results.csv").read_text().splitlines())
    assert sum(key.startswith("best/") and key.endswith("_mean") for key in headings) == TASKS
    (problem,) = json.loads((folder / "results.json").read_text())["problems"]
    assert sum(one["key"].startswith("best/") for one in problem["columns"]) == TASKS
