"""A folder belongs to one benchmark."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from moframework.benchmark.belonging import refuse_another
from moframework.benchmark.loading import load_benchmark
from moframework.benchmark.results import Results
from moframework.benchmark.running import run_benchmark
from moframework.errors import RunError
from tests.benchmark.parts import SMALL, tiny

ANOTHER = {"problems": ["quadratics"], "solvers": ["palora"], "seeds": [0]}


@pytest.mark.parametrize("report_only", [True, False])
def test_another_benchmark_is_refused_before_anything_is_written(
    finished: tuple[Results, Path], report_only: bool
) -> None:
    _, folder = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(RunError, match=r"holds another benchmark, which has no problem in common .* --out") as caught:
        run_benchmark(ANOTHER, folder, report_only=report_only)
    assert "there digits, here quadratics" in str(caught.value)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"problems": [{**SMALL, "train": 65}]}, "problem"),
        ({"solvers": ["pamal"]}, "contender"),
    ],
)
def test_the_same_problem_of_other_options_and_other_contenders_are_another(
    finished: tuple[Results, Path], changes: dict[str, Any], missing: str
) -> None:
    with pytest.raises(RunError, match=f"no {missing} in common"):
        refuse_another(load_benchmark(tiny(**changes)), finished[1])


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": [5]},
        {"solvers": ["palora", "pamal", "single"]},
        {"solvers": [{"solver": {"name": "palora", "rank": 3}, "label": "other"}]},
        {"problems": ["quadratics", {"problem": SMALL, "label": "other"}]},
        {"tune": {"grid": {"solver.initial": [None]}}},
        {"executor": "local", "training": {"steps": 9}, "name": "other"},
    ],
)
def test_the_same_benchmark_goes_on(finished: tuple[Results, Path], changes: dict[str, Any]) -> None:
    refuse_another(load_benchmark(tiny(**changes)), finished[1])


@pytest.mark.parametrize("text", ["", "[", "a", "problems: 3", "problems: [3]\nsolvers: [[]]", "\x00"])
def test_a_spec_that_is_none_is_nobodys(tmp_path: Path, text: str) -> None:
    (tmp_path / "benchmark.yaml").write_text(text)
    refuse_another(load_benchmark(tiny()), tmp_path)


def test_a_spec_in_short_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "benchmark.yaml").write_text("problems: [wine, quadratics]\nsolvers: [palora, {name: pamal}]")
    refuse_another(load_benchmark(ANOTHER), tmp_path)
    with pytest.raises(RunError, match="there palora, pamal, here single"):
        refuse_another(load_benchmark({**ANOTHER, "solvers": ["single"]}), tmp_path)


def test_pictures_and_pages_that_are_not_made_again_are_removed(finished: tuple[Results, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(finished[1], tmp_path / "copy")
    (folder / "fronts-mine.png").touch()
    renamed = tiny(problems=[{"problem": SMALL, "label": "renamed"}], seeds=[0, 1])
    run_benchmark({**renamed, "tune": None}, folder, report_only=True)
    left = {path.name for path in folder.glob("*-*.*")}
    assert not {name for name in left if "small" in name}
    assert "fronts-mine.png" in left
