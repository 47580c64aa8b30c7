"""What a benchmark would run, and what that would take, by what earlier cells in its folder took. Nothing is run."""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from attrs import frozen

from moframework.benchmark.cells import Cell, cell, decisive
from moframework.benchmark.running import default_folder
from moframework.benchmark.spec import Benchmark
from moframework.benchmark.tuning import candidates, choose
from moframework.errors import RunError
from moframework.io.sealed import read_sealed_yaml
from moframework.run.run import SPEC, Run

__all__ = ["Basis", "Estimate", "Estimator", "Plan", "PlannedCell", "plan_benchmark"]

Basis = Literal["same", "budget", "similar"]
"""What finished cells an estimate is made from: they differ in the seed alone; also in how long they trained, by which
the time of training is scaled; or in other options of the same problem and solver, which is a guess."""

_BASES: tuple[Basis, ...] = ("same", "budget", "similar")


@frozen
class Estimate:
    """What a cell will take."""

    seconds: float
    """By the clock, start of its process included where that is known."""
    processor_seconds: float | None
    """Of its training."""
    basis: Basis
    cells: int
    """How many finished cells it is the mean of."""


@frozen
class PlannedCell:
    """A cell that is to be run."""

    cell: Cell
    estimate: Estimate | None
    """None where no cell of its problem and solver is finished in the benchmark's folder."""
    assumed: bool = False
    """Whether its tuned values are not known yet, so that the first of the grid stand for them."""


@frozen
class Plan:
    """What a benchmark would run.

    Attributes:
        cells: to be run, in this order.
        done: finished ones, which are not run again.
        parallel: how many run at a time; None where only the cluster knows.
    """

    cells: tuple[PlannedCell, ...]
    done: int
    parallel: int | None

    @property
    def seconds(self) -> float:
        """Of all cells that have an estimate, one after the other."""
        return float(sum(one.estimate.seconds for one in self.cells if one.estimate is not None))

    @property
    def processor_seconds(self) -> float:
        """Of training all cells for which that is known."""
        known = (one.estimate.processor_seconds for one in self.cells if one.estimate is not None)
        return float(sum(value for value in known if value is not None))

    @property
    def unknown(self) -> tuple[PlannedCell, ...]:
        """The cells without an estimate."""
        return tuple(one for one in self.cells if one.estimate is None)

    def duration(self, parallel: int) -> float:
        """Seconds until the last cell with an estimate has ended, when `parallel` of them run at a time, each starting
        as soon as there is room."""
        return makespan([one.estimate.seconds for one in self.cells if one.estimate is not None], parallel)


def makespan(seconds: Iterable[float], parallel: int) -> float:
    """When the last of some jobs ends that start in this order, `parallel` at a time.

    >>> makespan([3, 1, 1, 1], 2)
    3.0
    """
    free = [0.0] * parallel
    for value in seconds:
        heapq.heapreplace(free, free[0] + value)
    return max(free)


def plan_benchmark(benchmark: Benchmark, out: Path | str | None = None) -> Plan:
    """What `run_benchmark` would run now, and what that takes. Nothing is run or written.

    Args:
        benchmark: see `load_benchmark`.
        out: its folder, whose finished cells are what estimates are made from.

    Raises:
        SpecError: `tune.by` names no hypervolume of a problem.
    """
    folder = Path(out) if out is not None else default_folder(benchmark)
    wanted = {one.cell.folder: one for one in _wanted(benchmark, folder)}
    open_ = [one for one in wanted.values() if one.cell.state != "done"]
    estimator = Estimator()
    cells = tuple(PlannedCell(one.cell, estimator.of(one.cell), one.assumed) for one in open_)
    return Plan(cells, len(wanted) - len(open_), benchmark.executor.parallel())


def _wanted(benchmark: Benchmark, folder: Path) -> list[PlannedCell]:
    """All cells, trials of tuning first, in the order in which they are run."""
    pairs = list(itertools.product(range(len(benchmark.problems)), range(len(benchmark.solvers))))
    tuning, trials, choices = benchmark.tune, list[PlannedCell](), dict[tuple[int, int], Any]()
    for pair in pairs if tuning is not None else ():
        assert tuning is not None
        own = [cell(benchmark, folder, *pair, tuning.seed, choice) for choice in candidates(tuning)]
        trials += [PlannedCell(one, None) for one in own]
        choices[pair] = choose(tuning, own).choice
    final = []
    for seed, pair in itertools.product(benchmark.seeds, pairs):
        choice = choices.get(pair)
        assumed = tuning is not None and choice is None
        if tuning is None or not assumed:
            final.append(PlannedCell(cell(benchmark, folder, *pair, seed, choice), None))
        elif seed != tuning.seed:  # whose run is one of the trials, whatever is chosen
            final.append(PlannedCell(cell(benchmark, folder, *pair, seed, candidates(tuning)[0]), None, assumed=True))
    return [*trials, *final]


@frozen
class _Past:
    """A finished cell."""

    text: str
    seconds: float
    training: float
    processor: float | None


class Estimator:
    """Estimates from the finished cells that lie beside a cell: those of its problem and solver."""

    def __init__(self) -> None:
        self._past: dict[Path, tuple[_Past, ...]] = {}

    def of(self, one: Cell) -> Estimate | None:
        """What a cell takes; None where none of its problem and solver is finished in its benchmark's folder."""
        place = one.folder.parent
        if place not in self._past:
            self._past[place] = tuple(_finished(place))
        for basis in _BASES:
            found = [past for past in self._past[place] if _alike(past.text, basis) == _alike(one.text, basis)]
            if found:
                return _mean(found, one.text, basis)
        return None

    def forget(self, one: Cell) -> None:
        """Read again what lies beside a cell when it is asked for next: one has ended there."""
        self._past.pop(one.folder.parent, None)


def _finished(place: Path) -> Iterable[_Past]:
    for path in sorted(place.glob("seed-*/status.json")):
        run = Run(path.parent)
        try:
            told = run.summary()
            if told.get("status") != "done":
                continue
            text, time = read_sealed_yaml(path.parent / SPEC, advice=""), run.report().get("time", {})
        except RunError:  # damaged, or of a newer version
            continue
        wall = float(time.get("wall_seconds", told.get("seconds", 0.0)))
        yield _Past(
            text, max(wall, seconds_of(path.parent) or 0.0), float(told.get("training_seconds", 0.0)),
            told.get("processor_seconds"),
        )  # fmt: skip


def seconds_of(folder: Path) -> float | None:
    """What the executor measured for a finished cell, if that is recorded."""
    try:
        return float(Cell.took_file(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _alike(text: str, basis: Basis) -> str:
    """What specs have in common on which an estimate is based."""
    if basis == "similar":
        return ""
    text = re.sub(r"^(seed|name): .*\n", "", decisive(text), flags=re.MULTILINE)
    if basis == "budget":
        text = re.sub(r"^  (epochs|steps): .*\n", "", text, flags=re.MULTILINE)
    return text


def _mean(found: Sequence[_Past], text: str, basis: Basis) -> Estimate:
    budget, factors = _budget(text), []
    for past in found:
        other = _budget(past.text)
        known = basis != "same" and budget is not None and other is not None and budget[0] == other[0]
        factors.append(budget[1] / other[1] if known and budget is not None and other is not None else 1.0)
    pairs = list(zip(found, factors, strict=True))
    processor = [past.processor * factor for past, factor in pairs if past.processor is not None]
    return Estimate(
        seconds=float(np.mean([past.seconds + past.training * (factor - 1) for past, factor in pairs])),
        processor_seconds=float(np.mean(processor)) if processor else None, basis=basis, cells=len(found),
    )  # fmt: skip


def _budget(text: str) -> tuple[str, float] | None:
    """How long a spec trains, and in what: steps or epochs."""
    section: Mapping[str, str] = dict(re.findall(r"^  (epochs|steps): (\S+)$", text, flags=re.MULTILINE))
    for unit in ("steps", "epochs"):
        value = section.get(unit, "null")
        if value != "null":
            return unit, max(float(value), 1e-9)
    return None
