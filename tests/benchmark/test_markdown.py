from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from moframework.benchmark.column import Column
from moframework.benchmark.loading import load_benchmark
from moframework.benchmark.markdown import formatted, to_markdown
from moframework.benchmark.results import Results, Statistic
from tests.benchmark.conftest import TUNE
from tests.benchmark.parts import tiny


@pytest.mark.parametrize(
    ("values", "column", "text"),
    [
        ((0.5, 0.7), {}, "0.6000 ± 0.1414"),
        ((0.5,), {}, "0.5000"),
        ((27450.0, 27450.0), {"digits": 0}, "27,450"),
        ((0.25, 0.75), {"digits": 1, "percent": True}, "50.0 ± 35.4 %"),
        ((None,), {}, "–"),
        ((), {}, "–"),
    ],
)
def test_numbers(values: tuple[float | None, ...], column: dict[str, int], text: str) -> None:
    assert formatted(Statistic(values), Column(key="k", title="t", help="h", **column)) == text


def test_page(finished: tuple[Results, Path]) -> None:
    _, folder = finished
    page = (folder / "results.md").read_text()
    assert page.startswith("<!-- Made by `moframework benchmark`. Do not edit")
    header = next(line for line in page.splitlines() if line.startswith("| solver"))
    for title in (
        "seeds", "hypervolume, accuracy", "hypervolume, losses", "best accuracy, left", "best accuracy, right",
        "one model's accuracy", "controllability", "non-dominated", "parameters", "overhead", "training, s", "points",
        "tuned lr",
    ):  # fmt: skip
        assert f" {title} " in header, title
    assert "| adapters | 2 |" in page
    assert "0.001 †" in page or "0.01 †" in page
    assert "at the edge of the grid" in page
    assert "`training.optimizer.lr` over 0.001, 0.01. The choice serves all seeds." in page
    assert "![Fronts on small](<fronts-small.png>)" in page
    assert "sample standard deviation over seeds (0, 1), each seed measured by itself" in page
    assert "reference (1, 1)." in page
    assert "not comparable" not in page


def test_differences_between_entries_are_told(finished: tuple[Results, Path]) -> None:
    results, _ = finished
    spec = tiny(tune=TUNE, solvers=["palora", {"solver": "multipoint", "training": {"optimizer": {"lr": 0.5}}}])
    page = to_markdown(attrs.evolve(results, benchmark=load_benchmark(spec)), {})
    assert "multipoint differs from the rest in `training.optimizer.lr=0.5`." in page
    assert "palora differs" not in page
    assert "![" not in page


def test_cells_of_different_machines_are_told(finished: tuple[Results, Path]) -> None:
    results, _ = finished
    (group,) = results.groups
    first = group.rows[0]
    git = {"commit": "0" * 40, "dirty": True}
    moved = attrs.evolve(first.cells[0], environment={**first.cells[0].environment, "threads": 99, "git": git})
    row = attrs.evolve(first, cells=(moved, *first.cells[1:]))
    page = to_markdown(attrs.evolve(results, groups=(attrs.evolve(group, rows=(row,)),)), {})
    assert "**their times are not comparable**" in page
    assert "000000000000 with changes" in page
    other = attrs.evolve(group, stated=False)
    assert "as the problem states none" in to_markdown(attrs.evolve(results, groups=(other,)), {})


def test_one_seed_has_no_spread(finished: tuple[Results, Path]) -> None:
    results, _ = finished
    page = to_markdown(attrs.evolve(results, benchmark=load_benchmark(tiny(seeds=[4]))), {})
    assert "One seed (4), so nothing is known of the spread." in page
    assert "Nothing was tuned." in page
