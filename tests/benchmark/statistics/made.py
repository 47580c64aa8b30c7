"""Results of benchmarks that were never run, for tests of what is said of them."""

from __future__ import annotations

from collections.abc import Mapping

from moframework.benchmark.measures import columns_for
from moframework.benchmark.results import CellResult, Group, Row
from moframework.benchmark.spec import ImportedEntry
from moframework.pareto.front import Front

__all__ = ["KEY", "made"]

KEY = "hypervolume/losses"


def made(
    values: Mapping[str, Mapping[int, float | None]],
    problem: str = "p",
    *,
    key: str = KEY,
    fronts: Mapping[str, tuple[Front, ...]] | None = None,
    imported: Mapping[str, ImportedEntry] | None = None,
) -> Group:
    """A problem with one measure: by contender, by seed. None: a seed that failed."""
    rows = []
    for solver, own in values.items():
        shown = iter((fronts or {}).get(solver, ()))
        cells = tuple(
            CellResult(seed=seed, cell=None, state="failed" if value is None else "done", message=None,
                       front=next(shown, None), measures={} if value is None else {key: value}, environment={})
            for seed, value in own.items()
        )  # fmt: skip
        rows.append(Row(solver=solver, continuous=True, cells=cells, tuned=None, message=None,
                        imported=(imported or {}).get(solver)))  # fmt: skip
    reference = next((front.reference for own in (fronts or {}).values() for front in own), (1.0, 1.0))
    return Group(problem=problem, rows=tuple(rows), reference=reference, stated=True, scale=None, conventions={},
                 columns=columns_for([key], {}))  # fmt: skip
