from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moframework.benchmark.cells import Cell, cell
from moframework.benchmark.loading import load_benchmark
from moframework.benchmark.spec import Tuning
from moframework.benchmark.tuning import candidates, choose
from moframework.errors import SpecError
from tests.benchmark.parts import pretend_done, tiny

KEY = "training.optimizer.lr"
TUNING = Tuning(grid={KEY: [0.1, 0.2, 0.4]})


def trials(folder: Path, losses: list[float | str | None], tuning: Tuning = TUNING) -> list[Cell]:
    """A cell for each point of the grid: done with that loss, failed with that message, or missing."""
    benchmark = load_benchmark(tiny())
    made = [cell(benchmark, folder, 0, 0, 0, choice) for choice in candidates(tuning)]
    for one, loss in zip(made, losses, strict=True):
        if loss is None:
            continue
        one.prepare()
        if isinstance(loss, str):
            one.fail(loss)
            continue
        pretend_done(one, loss)
    return made


def test_candidates() -> None:
    assert candidates(None) == ({},)
    both = Tuning(grid={KEY: [0.1, 0.2], "solver.rank": [1, 2]})
    assert candidates(both) == tuple({KEY: lr, "solver.rank": rank} for lr in (0.1, 0.2) for rank in (1, 2))


@pytest.mark.parametrize(
    ("losses", "best", "edge"),
    [
        ([0.5, 0.3, 0.4], 0.2, ()),
        ([0.5, 0.3, 0.2], 0.4, (KEY,)),
        ([0.3, 0.3, 0.3], 0.1, (KEY,)),
        (["diverged", 0.3, "diverged"], 0.2, ()),
        ([0.3, None, 0.2], None, ()),
        (["diverged", "diverged", "diverged"], None, ()),
    ],
)
def test_the_largest_validation_hypervolume_is_chosen(
    tmp_path: Path, losses: list[float | str | None], best: float | None, edge: tuple[str, ...]
) -> None:
    found = choose(TUNING, trials(tmp_path, losses))
    assert found.choice == (None if best is None else {KEY: best})
    assert found.at_edge == edge
    for trial, loss in zip(found.trials, losses, strict=True):
        assert (trial.hypervolume is None) == (not isinstance(loss, float))
        assert trial.message == (loss if isinstance(loss, str) else None)
    if isinstance(losses[0], float):
        assert found.trials[0].hypervolume == pytest.approx((1 - losses[0]) ** 2)


@pytest.mark.parametrize("values", [["a", "b"], [0.1], [True, False]])
def test_only_numbers_have_an_edge(tmp_path: Path, values: list[Any]) -> None:
    key = {str: "solver.conv", float: KEY, bool: "training.drop_last"}[type(values[0])]
    values = ["loralib", "peft"] if key == "solver.conv" else values
    tuning = Tuning(grid={key: values})
    losses: list[float | str | None] = [0.3] * len(values)
    assert choose(tuning, trials(tmp_path, losses, tuning)).at_edge == ()


def test_an_unknown_hypervolume(tmp_path: Path) -> None:
    tuning = Tuning(grid={KEY: [0.1]}, by="accuracy")
    with pytest.raises(SpecError, match="no hypervolume 'accuracy'; it has: losses"):
        choose(tuning, trials(tmp_path, [0.3], tuning))
