from __future__ import annotations

from pathlib import Path

import pytest

from moframework.benchmark.loading import load_benchmark
from moframework.benchmark.results import Results
from moframework.benchmark.running import run_benchmark
from tests.benchmark.parts import tiny

TUNE = {"grid": {"training.optimizer.lr": [1e-3, 1e-2]}, "seed": 0}


@pytest.fixture(scope="package")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path]:
    """A finished benchmark with tuning, and its folder; do not change them."""
    folder = tmp_path_factory.mktemp("benchmark")
    return run_benchmark(load_benchmark(tiny(tune=TUNE)), folder), folder
