from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from moframework.benchmark.loading import load_benchmark
from moframework.benchmark.running import run_benchmark
from moframework.benchmark.statistics.course import SHARE, time_to
from moframework.benchmark.statistics.found import Training
from moframework.pareto import hypervolume
from tests.benchmark.parts import tiny
from tests.schemas.validation import wrong


def test_the_course_is_that_of_the_runs(tmp_path: Path) -> None:
    spec = tiny(
        training={"epochs": 3, "batch_size": 16}, evaluate={"points": 3, "every": 1}, seeds=[0, 1],
        solvers=[{"solver": {"name": "palora", "rank": 1}, "label": "adapters"}],
    )  # fmt: skip
    results = run_benchmark(load_benchmark(spec), tmp_path)
    assert results.analysis is not None
    (course,) = results.analysis.courses
    ((solver, trainings),) = course.trainings
    assert (solver, [training.seed for training in trainings]) == ("adapters", [0, 1])
    for training, one in zip(trainings, results.cells, strict=True):
        assert one.cell is not None
        past = one.cell.run.history()["validations"]
        assert training.hypervolumes.tolist() == [hypervolume(v["losses"], (1.0, 1.0)) for v in past]
        assert training.seconds[-1] == pytest.approx(one.cell.run.summary()["training_seconds"], abs=0.002)
        assert (np.diff(training.processor_seconds) > 0).all()
    best = max(float(training.hypervolumes.max()) for training in trainings)
    page = (tmp_path / "results.md").read_text()
    if best > 0:
        assert course.target == pytest.approx(SHARE * best)
    else:
        assert "No validation has a point that is better than the reference point" in page
    assert (tmp_path / "course-small.png").is_file()
    assert "![Hypervolume over time on small](<course-small.png>)" in page
    assert wrong(tmp_path) == []


def test_time_to_a_target() -> None:
    training = Training(seed=0, seconds=np.array([2.0, 4.0, 6.0]), processor_seconds=np.array([1.0, 2.0, 3.0]),
                        hypervolumes=np.array([0.1, 0.5, 0.4]))  # fmt: skip
    assert time_to(training, 0.4, processor=True) == 2.0
    assert time_to(training, 0.4, processor=False) == 4.0
    assert time_to(training, 0.6, processor=True) is None
