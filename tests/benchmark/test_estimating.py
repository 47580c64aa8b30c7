from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moframework.benchmark.cells import cell
from moframework.benchmark.estimating import Plan, makespan, plan_benchmark
from moframework.benchmark.loading import load_benchmark
from moframework.benchmark.spec import Benchmark
from moframework.io.sealed import write_json, write_sealed_yaml
from tests.benchmark.parts import pretend_done, tiny


def finish(benchmark: Benchmark, folder: Path, pair: tuple[int, int], seed: int, took: float, **choice: Any) -> None:
    """Leave a finished cell that took so many seconds, of which 4 trained with 3 of the processor."""
    one = cell(benchmark, folder, *pair, seed, choice)
    one.folder.mkdir(parents=True)
    pretend_done(one)
    write_sealed_yaml(one.folder / "spec.yaml", one.text)
    told = {"format": 2, "status": "done", "training_seconds": 4.0, "processor_seconds": 3.0}
    write_json(one.folder / "status.json", told)
    write_json(one.folder / "report.json", {"format": 2, "time": {"wall_seconds": took}})


def plan(folder: Path, *overrides: str, **changes: Any) -> Plan:
    return plan_benchmark(load_benchmark(tiny(**changes), overrides), folder)


def test_estimates_and_what_they_are_made_from(tmp_path: Path) -> None:
    first = load_benchmark(tiny())
    finish(first, tmp_path, (0, 0), 0, took=10.0)
    finish(first, tmp_path, (0, 0), 1, took=14.0)
    found = plan(tmp_path, seeds=[0, 1, 2])
    assert found.done == 2
    assert [(one.cell.solver, one.cell.seed) for one in found.cells] == [
        ("networks", 0), ("networks", 1), ("adapters", 2), ("networks", 2)
    ]  # fmt: skip
    (known,) = [one.estimate for one in found.cells if one.estimate is not None]
    assert (known.seconds, known.processor_seconds, known.basis, known.cells) == (12.0, 3.0, "same", 2)
    assert [one.cell.solver for one in found.unknown] == ["networks"] * 3
    assert found.seconds == 12.0


def test_a_longer_training_scales_what_trains(tmp_path: Path) -> None:
    finish(load_benchmark(tiny()), tmp_path, (0, 0), 0, took=10.0)
    longer = plan(tmp_path, "training.steps=6", seeds=[5]).cells[0].estimate
    assert longer is not None
    assert (longer.seconds, longer.processor_seconds, longer.basis) == (10.0 + 4.0 * 2, 9.0, "budget")
    other = plan(tmp_path, "training.batch_size=8", seeds=[5]).cells[0].estimate
    assert other is not None
    assert (other.seconds, other.basis) == (10.0, "similar")


def test_what_the_executor_measured_counts_where_it_is_more(tmp_path: Path) -> None:
    benchmark = load_benchmark(tiny())
    finish(benchmark, tmp_path, (0, 0), 0, took=10.0)
    cell(benchmark, tmp_path, 0, 0, 0).note_seconds(13.5)
    known = plan(tmp_path, seeds=[5]).cells[0].estimate
    assert known is not None
    assert known.seconds == 13.5


def test_damaged_and_unfinished_cells_tell_nothing(tmp_path: Path) -> None:
    benchmark = load_benchmark(tiny())
    for seed in (0, 1):
        finish(benchmark, tmp_path, (0, 0), seed, took=10.0)
    one, other = (cell(benchmark, tmp_path, 0, 0, seed).folder for seed in (0, 1))
    (one / "spec.yaml").write_text((one / "spec.yaml").read_text().replace("seed: 0", "seed: 7"))
    write_json(other / "status.json", {"format": 2, "status": "failed"})
    found = plan(tmp_path)
    assert (found.done, [one.estimate for one in found.cells]) == (0, [None] * 4)


def test_tuning_that_is_not_done(tmp_path: Path) -> None:
    tune = {"grid": {"training.optimizer.lr": [1e-3, 1e-2]}, "seed": 0}
    found = plan(tmp_path, tune=tune, seeds=[0, 1, 2])
    assert len(found.cells) == 2 * 2 + 2 * 2, "two trials each, and the seeds that no trial has"
    assert [one.assumed for one in found.cells] == [False] * 4 + [True] * 4


def test_nothing_is_written(tmp_path: Path) -> None:
    plan(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(("parallel", "seconds"), [(1, 9.0), (2, 6.0), (3, 6.0), (9, 5.0)])
def test_makespan(parallel: int, seconds: float) -> None:
    assert makespan([1, 1, 2, 5], parallel) == seconds


def test_of_a_plan(tmp_path: Path) -> None:
    finish(load_benchmark(tiny()), tmp_path, (0, 0), 0, took=10.0)
    found = plan(tmp_path, seeds=[5, 6, 7], executor={"name": "local", "jobs": 2})
    assert found.parallel == 2
    assert found.duration(2) == 20.0
    assert plan(tmp_path, executor={"name": "ray", "cpus": 1e-3}).parallel is not None
    assert plan(tmp_path, executor={"name": "ray", "address": "auto"}).parallel is None
