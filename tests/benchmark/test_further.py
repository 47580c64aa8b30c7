from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from moframework.benchmark.further import FurtherName, common_scale, further, further_column
from moframework.benchmark.loading import load_benchmark
from moframework.benchmark.markdown import to_markdown
from moframework.benchmark.measures import columns_for
from moframework.benchmark.results import Results
from moframework.benchmark.running import run_benchmark
from moframework.errors import SpecError
from moframework.pareto import r2, spacing
from tests.benchmark.conftest import TUNE
from tests.benchmark.parts import tiny
from tests.benchmark.test_measures import front

NAMES = get_args(FurtherName)
WIDE = front([[0.8, 20.0], [0.5, 50.0], [0.2, 90.0]])
KNOWN = front([[0.8, 0.2], [0.2, 0.9]], true_front=[[0.0, 1.0], [1.0, 0.0]])


def test_the_range_of_a_problem_is_that_of_all_its_fronts() -> None:
    other = front([[0.1, 95.0], [0.9, 99.0]])  # the second point is dominated and widens nothing
    assert common_scale([WIDE, other]) == ((0.1, 20.0), (0.8, 95.0))
    assert common_scale([KNOWN]) == ((0.0, 0.0), (1.0, 1.0))
    better = front([[-0.1, 0.3]], true_front=KNOWN.true_front)
    assert common_scale([KNOWN, better]) == ((-0.1, 0.0), (1.0, 1.0))
    assert common_scale([]) is None


def test_raw_and_normalized() -> None:
    found = further(WIDE, NAMES, common_scale([WIDE]))
    assert list(found) == list(NAMES)
    assert found["span"] == pytest.approx(0.6)
    assert found["normalized/span"] == pytest.approx(1.0)
    assert found["normalized/spread"] == pytest.approx(2**0.5)
    unit = (WIDE.losses - [0.2, 20]) / [0.6, 70]
    assert found["normalized/spacing"] == pytest.approx(spacing(unit))
    assert found["spacing"] == pytest.approx(spacing(WIDE.losses))
    assert found["r2"] == pytest.approx(r2(WIDE.losses, [0.2, 20]))
    assert found["normalized/r2"] == pytest.approx(r2(unit, [0, 0]))
    assert found["angle"] == pytest.approx(WIDE.angles().mean())
    assert found["igd"] is None, "no true front is known"
    known = further(KNOWN, ["igd", "normalized/igd_plus"], common_scale([KNOWN]))
    assert known == {"igd": KNOWN.igd(), "normalized/igd_plus": KNOWN.igd_plus()}


def test_what_is_not_defined_is_none() -> None:
    single = front([[0.5, 0.5]])
    found = further(single, NAMES, common_scale([single]))
    assert [found[name] for name in ("spacing", "sparsity", "gap", "normalized/gap")] == [None] * 4
    assert [found[name] for name in ("span", "spread", "r2")] == [0.0, 0.0, 0.0]
    assert set(further(single, NAMES, None).values()) == {None}


def test_every_name_is_a_column_of_its_own() -> None:
    columns = [further_column(name) for name in NAMES]
    assert [column.key for column in columns] == list(NAMES)
    assert len({column.title for column in columns}) == len(NAMES)
    assert {column.key for column in columns if column.upward} == {
        "span", "spread", "normalized/span", "normalized/spread",
    }  # fmt: skip
    assert columns_for(["span"], {}) == (further_column("span"),)


def test_columns_that_the_spec_names_are_in_the_table(finished: tuple[Results, Path], tmp_path: Path) -> None:
    names = ["normalized/spacing", "span"]
    (tmp_path / "cells").symlink_to(finished[1] / "cells")
    results = run_benchmark(load_benchmark(tiny(tune=TUNE, columns=names)), tmp_path, report_only=True)
    (group,) = results.groups
    keys = [column.key for column in group.columns]
    assert keys.index("controllability") < keys.index("normalized/spacing") < keys.index("parameters")
    for row in group.rows:
        for one in row.done:
            assert one.front is not None
            assert one.measures["span"] == pytest.approx(one.front.span())
    every = [one.front.losses for row in group.rows for one in row.done if one.front is not None]
    assert group.scale is not None
    np.testing.assert_allclose(group.scale[0], np.concatenate(every).min(axis=0))
    page = to_markdown(results, {})
    assert " spacing, normalized | span | " in page
    assert "Range of the problem: from the ideal (" in page


@pytest.mark.parametrize(
    ("columns", "words"),
    [(["spaceing"], "did you mean 'spacing'"), (["span", "span"], "column span is given twice")],
)
def test_wrong_columns(columns: list[str], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        load_benchmark(tiny(columns=columns))
