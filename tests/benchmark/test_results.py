from __future__ import annotations

import shutil
from pathlib import Path

import attrs
import numpy as np
import pytest

from moframework.benchmark.loading import load_benchmark
from moframework.benchmark.markdown import to_markdown
from moframework.benchmark.results import Results, Statistic
from moframework.benchmark.running import run_benchmark
from tests.benchmark.parts import tiny


def test_mean_and_spread_over_seeds() -> None:
    found = Statistic((1.0, 2.0, 3.0))
    assert (found.mean, found.std) == (2.0, 1.0)
    assert (Statistic((1.0,)).mean, Statistic((1.0,)).std) == (1.0, None)
    assert (Statistic(()).mean, Statistic((None,)).mean) == (None, None)
    assert Statistic((1.0, None, 3.0)).std == pytest.approx(2**0.5)


def test_the_hypervolume_is_a_mean_over_seeds_not_that_of_their_union(finished: tuple[Results, Path]) -> None:
    results, _ = finished
    (group,) = results.groups
    for row in group.rows:
        by_hand = [front.hypervolumes()["accuracy"]["value"] for front in row.fronts]
        assert len(by_hand) == 2
        assert row.statistic("hypervolume/accuracy").mean == pytest.approx(sum(by_hand) / 2)


def test_fronts_have_the_reference_point_of_the_table(finished: tuple[Results, Path], tmp_path: Path) -> None:
    """Each had its own, so that `front.hypervolume()` was not what the table says."""
    results, whole = finished
    folder = shutil.copytree(whole, tmp_path / "copy")
    one = next(iter(results.cells)).cell
    assert one is not None
    path = folder / one.folder.relative_to(whole) / "front-test.json"
    attrs.evolve(one.front("test"), reference=(1.5, 2)).save(path)
    told = run_benchmark(results.benchmark, folder, report_only=True)
    (group,) = told.groups
    assert (group.reference, group.stated) == ((1.5, 2.0), False)
    assert len(told.cells) == 4
    for found in told.cells:
        assert found.front is not None
        assert found.front.reference == group.reference
        assert found.front.hypervolume() == found.measures["hypervolume/losses"]


def test_rows_know_what_they_are(finished: tuple[Results, Path]) -> None:
    results, _ = finished
    (group,) = results.groups
    assert [(row.solver, row.continuous) for row in group.rows] == [("adapters", True), ("networks", False)]
    assert group.reference == (1.0, 1.0)
    assert group.stated
    for one in results.cells:
        assert one.environment["threads"] >= 1
        assert one.environment["git"] is None or len(one.environment["git"]["commit"]) == 40
    assert results.environment["packages"]["torch"]


def test_change_against_single_task_networks_seed_by_seed(tmp_path: Path) -> None:
    """Where a contender declares itself single-task, whatever it is called, all others are held against it."""
    entries = [{"solver": {"name": "palora", "rank": 1}, "label": "adapters"}, {"solver": "stl", "label": "one each"}]
    results = run_benchmark(load_benchmark(tiny(solvers=entries)), tmp_path)
    (group,) = results.groups
    adapters, single = group.rows
    assert "delta_m" in [column.key for column in group.columns]
    assert single.statistic("delta_m").values == (0.0, 0.0)
    for mine, ideal in zip(adapters.done, single.done, strict=True):
        assert mine.front is not None
        assert ideal.front is not None
        assert len(ideal.front.losses) == 1
        chosen = int(np.argmin(mine.cell.run.front("val").delta_m(ideal.cell.run.front("val"))))
        assert mine.measures["delta_m"] == pytest.approx(
            float(mine.front.delta_m(ideal.cell.run.front("test"))[chosen])
        )


def test_nothing_is_held_against_networks_that_are_not_there(finished: tuple[Results, Path]) -> None:
    results, _ = finished
    assert "delta_m" not in [column.key for column in results.groups[0].columns]


def test_a_study_reports_validation(finished: tuple[Results, Path], tmp_path: Path) -> None:
    """The same cells, told from the other split; the page says so."""
    results, folder = finished
    study = attrs.evolve(results.benchmark, report="val")
    told = run_benchmark(study, shutil.copytree(folder, tmp_path / "study"), report_only=True)
    for one in told.cells:
        assert one.front is not None
        assert one.front.split == "val"
        front = one.cell.run.front("val")
        assert one.measures["hypervolume/losses"] == front.hypervolume(front.reference)
    page = to_markdown(told, {})
    assert "All numbers are of the validation split." in page
    assert "The test split plays no part." in page


def test_printed_results_are_a_short_table(finished: tuple[Results, Path]) -> None:
    """They were the dump of every object, with thousands of lines."""
    results, _ = finished
    assert repr(results) == "Results(benchmark='tiny', problems=1, rows=2, cells=4, done=4)"
    first, _, problem, headings, *rows = str(results).splitlines()
    (group,) = results.groups
    assert (first, problem) == (repr(results), group.problem)
    assert headings.split()[:2] == ["solver", "seeds"]
    mean = group.rows[0].statistic(group.columns[0].key).mean
    assert mean is not None
    assert rows[0].split()[:3] == ["adapters", "2", f"{mean:.4f}"]
    assert rows[1].split()[0] == "networks"
    assert rows[2] == f"  and {len(group.columns) + 3 - 6} more columns"
    assert len({len(line) for line in (headings, *rows[:2])}) == 1, "columns stand below each other"
    for part in (group, *group.rows, *results.cells):
        assert len(repr(part)) < 200


def test_printed_results_of_many_contenders_and_problems_are_bounded(finished: tuple[Results, Path]) -> None:
    results, _ = finished
    (group,) = results.groups
    many = attrs.evolve(results, groups=(attrs.evolve(group, rows=group.rows * 30),) * 40)
    said = str(many).splitlines()
    assert "40 more contenders" in said[24]
    assert said[-1] == "and 30 more problems"
    assert len(said) < 300
    assert len(repr(many)) < 200


def test_a_printed_analysis_is_bounded(finished: tuple[Results, Path]) -> None:
    analysis = finished[0].analysis
    assert analysis is not None
    said = str(analysis)
    assert said.startswith(f"{analysis!r}\n\nhypervolume/")
    assert len(repr(analysis)) < 200
    mean = analysis.measures[0].means[0]
    assert f"  small, adapters: {mean.mean:.4g}" in said
    many = attrs.evolve(analysis, measures=analysis.measures * 30, notes=("a note " * 100,) * 100)
    assert len(str(many)) < 20_000
    assert "and 55 more measures" in str(many)
    assert "  and " in str(many).splitlines()[-1]


def test_a_benchmark_without_a_name_is_told_in_words(tmp_path: Path) -> None:
    results = run_benchmark({"problems": ["quadratics"], "solvers": ["palora"]}, tmp_path, report_only=True)
    assert repr(results).startswith("Results(benchmark='unnamed', ")
    assert "\n# Unnamed benchmark\n" in (tmp_path / "results.md").read_text()
