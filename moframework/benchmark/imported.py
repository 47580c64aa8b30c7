"""Results of other codes that join a table: read from a file, measured as our own, and never run.

A file has a row for each point of a front: CSV (lines that begin with `#` are comments), or JSON with a list of
objects. Its columns are those of `Front.columns`, `TASK/loss`, `TASK/METRIC` and `TASK/preference`, and `seed`,
`split` and `contender`, all of which may be absent. Without losses a row of the table has what follows from metrics
alone; without preferences, what needs none.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from moframework.benchmark.spec import Benchmark, ImportedEntry
from moframework.errors import SpecError, meant, shortened
from moframework.metrics.base import Metric
from moframework.pareto.front import Front
from moframework.problem import Problem
from moframework.spec.bundled import specs_folder

__all__ = ["ImportedFront", "located", "read_all", "read_imported"]

_WHO = ("seed", "split", "contender")
_MOST = 1_000_000  # bytes of a file


@frozen(kw_only=True)
class ImportedFront:
    """One seed of imported results."""

    seed: int
    front: Front
    """On the split that is reported; its losses are all 0 where `has_losses` is false."""
    validation: Front | None
    has_losses: bool
    has_preferences: bool


@frozen
class _Point:
    """A row of a file: where it stands, for messages, and its cells."""

    place: str
    cells: Mapping[str, Any]


def read_all(benchmark: Benchmark) -> list[tuple[ImportedFront, ...]]:
    """What each of a benchmark's `imported` entries holds, in their order.

    Raises:
        SpecError: of one file, with its name and row: what is wrong, and what is allowed.
    """
    problems = {entry.title: entry.problem for entry in benchmark.problems}
    return [
        read_imported(entry, problems[entry.problem or next(iter(problems))], benchmark.report)
        for entry in benchmark.imported
    ]


def located(entry: ImportedEntry) -> Path:
    """The file of an entry; one that is bundled with the specs where there is none at its path, but one of its name."""
    bundled = specs_folder() / "benchmarks" / entry.file.name
    return bundled if bundled.is_file() and not entry.file.exists() else entry.file


def read_imported(entry: ImportedEntry, problem: Problem, split: str) -> tuple[ImportedFront, ...]:
    """The fronts of a file, one a seed, in the order of their seeds.

    Args:
        entry: names the file, and which of its rows count.
        problem: whose tasks and metrics the columns are of.
        split: `test` or `val`, which is reported; rows without a split are of it.

    Raises:
        SpecError: as of `read_all`.
    """
    file = located(entry)
    every = _read(file)
    points = [point for point in every if entry.contender in (None, point.cells.get("contender"))]
    if not points:
        have = sorted({str(point.cells["contender"]) for point in every if "contender" in point.cells})
        told = f" of contender '{entry.contender}'; it has: {', '.join(have) or 'none'}" if entry.contender else ""
        raise SpecError(f"{file}: there is no row{told}")
    metrics = {f"{task.name}/{metric.label}": metric for task in problem.tasks for metric in task.metrics}
    tasks = tuple(task.name for task in problem.tasks)
    names = list(dict.fromkeys(name for point in points for name in point.cells if name not in _WHO))
    _check_names(file, names, tasks, metrics)
    by_seed: dict[tuple[int, str], list[_Point]] = {}
    for point in points:
        by_seed.setdefault((_seed(point), str(point.cells.get("split") or split)), []).append(point)
    if not any(which == split for _, which in by_seed):
        raise SpecError(f"{file}: no row is of the split '{split}', which is reported")
    make = _Maker(problem, tasks, metrics, names)
    found = []
    for seed in sorted({seed for seed, which in by_seed if which == split}):
        validation = by_seed.get((seed, "val"))
        front = make.front(by_seed[seed, split], split)
        chosen = None if validation is None else make.front(validation, "val")
        if chosen is not None and len(chosen.losses) != len(front.losses):
            raise SpecError(
                f"{validation[0].place if validation else file}: seed {seed} has {len(chosen.losses)} points on "
                f"val and {len(front.losses)} on {split}; both are of the same models, so they need as many"
            )
        found.append(ImportedFront(
            seed=seed, front=front, validation=chosen, has_losses=make.has("loss"),
            has_preferences=make.has("preference"),
        ))  # fmt: skip
    return tuple(found)


@frozen
class _Maker:
    """Points to fronts of one problem."""

    problem: Problem
    tasks: tuple[str, ...]
    metrics: Mapping[str, Metric]
    names: Sequence[str]

    def has(self, what: str) -> bool:
        """Whether the file has losses, or preferences."""
        return f"{self.tasks[0]}/{what}" in self.names

    def front(self, points: Sequence[_Point], split: str) -> Front:
        """The front of one seed on one split."""
        columns = {name: np.array([_number(point, name) for point in points]) for name in self.names}
        n, m = len(points), len(self.tasks)
        preferences = self._matrix(columns, "preference") if self.has("preference") else np.full((n, m), 1 / m)
        own = {name: column for name, column in columns.items() if name in self.metrics}
        upwards = {name: self.metrics[name].higher_is_better for name in own}
        worst = {name: self.metrics[name].worst for name in own}
        reference = self.problem.reference if self.has("loss") else None
        return Front(
            tasks=self.tasks, preferences=preferences,
            losses=self._matrix(columns, "loss") if self.has("loss") else np.zeros((n, m)),
            metrics=own, higher_is_better=upwards, split=split, reference=reference,
            metric_reference={name: value for name, value in worst.items() if value is not None},
            true_front=self.problem.true_front if self.has("loss") else None,
        )  # fmt: skip

    def _matrix(self, columns: Mapping[str, NDArray[np.float64]], what: str) -> NDArray[np.float64]:
        return np.stack([columns[f"{task}/{what}"] for task in self.tasks], axis=1)


def _read(file: Path) -> list[_Point]:
    """The rows of a file. Raises `SpecError`."""
    try:
        if file.stat().st_size > _MOST:
            raise SpecError(f"{file}: fronts of other codes are small, and this file has more than {_MOST:,} bytes")
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{file}: it cannot be read: {error}") from error
    return list(_from_json(file, text) if file.suffix.lower() == ".json" else _from_csv(file, text))


def _from_json(file: Path, text: str) -> Iterator[_Point]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise SpecError(f"{file}: this is no JSON: {error}") from error
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise SpecError(f"{file}: a list of objects is wanted, one for each point of a front")
    for place, one in enumerate(content):
        yield _Point(f"{file}: row {place + 1}", one)


def _from_csv(file: Path, text: str) -> Iterator[_Point]:
    lines = [(k, line) for k, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#")]
    rows = [(k, next(csv.reader([line]))) for k, line in lines]
    if not rows:
        raise SpecError(f"{file}: it has no line with the names of columns")
    names = [name.strip() for name in rows[0][1]]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise SpecError(f"{file}: line {rows[0][0]}: column '{shortened(twice[0])}' is there twice")
    for k, cells in rows[1:]:
        if len(cells) != len(names):
            raise SpecError(f"{file}: line {k}: it has {len(cells)} cells, and there are {len(names)} columns")
        yield _Point(f"{file}: line {k}", dict(zip(names, (cell.strip() for cell in cells), strict=True)))


def _check_names(file: Path, names: Sequence[str], tasks: Sequence[str], metrics: Mapping[str, Metric]) -> None:
    """Raise `SpecError` unless every column means something here, and losses and preferences are of all tasks."""
    allowed = [*_WHO, *(f"{task}/{what}" for what in ("preference", "loss") for task in tasks), *metrics]
    for name in names:
        if name not in allowed:
            near = meant(name, allowed)
            raise SpecError(f"{file}: unknown column '{shortened(name)}'; {near}allowed: {', '.join(allowed)}")
    for what in ("preference", "loss"):
        missing = [task for task in tasks if f"{task}/{what}" not in names]
        if 0 < len(missing) < len(tasks):
            raise SpecError(f"{file}: it has the {what} of some tasks, but no column '{missing[0]}/{what}'")
    if not any(name in metrics or name.endswith("/loss") for name in names):
        raise SpecError(f"{file}: it has neither losses nor metrics; allowed: {', '.join(allowed)}")


def _seed(point: _Point) -> int:
    value = point.cells.get("seed", 0)
    try:
        found = int(value)
        if isinstance(value, bool) or found != float(value) or found < 0:
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise SpecError(f"{point.place}: seed must be a whole number of at least 0, but it is {value!r}") from None
    return found


def _number(point: _Point, name: str) -> float:
    value = point.cells.get(name)
    try:
        found = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        found = math.nan
    if not math.isfinite(found):
        told = "missing" if value in (None, "") else shortened(repr(value))
        raise SpecError(f"{point.place}: {name} must be a finite number, but it is {told}")
    task, _, what = name.partition("/")
    if what == "preference" and not 0 <= found <= 1:
        raise SpecError(f"{point.place}: {task}/preference must be between 0 and 1, but it is {found:g}")
    return found
