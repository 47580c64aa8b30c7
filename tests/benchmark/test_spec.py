from __future__ import annotations

from moframework.benchmark.loading import load_benchmark
from moframework.benchmark.spec import part_name
from moframework.problem import get_problem
from tests.benchmark.parts import InProcess


def test_names_of_parts() -> None:
    assert part_name(get_problem("digits")) == "digits"
    assert part_name(get_problem("digits", backbone="mlp")) == "digits"
    assert part_name(InProcess()) == "InProcess"


def test_local_is_what_runs_cells_unless_told_otherwise() -> None:
    loaded = load_benchmark({"problems": ["digits"], "solvers": ["palora"]})
    assert part_name(loaded.executor) == "local"
    assert loaded.seeds == (0, 1, 2)
    assert loaded.tune is None
