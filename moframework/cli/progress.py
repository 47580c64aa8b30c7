"""What the command line shows on stderr while a benchmark runs its cells, or a study its trials."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from moframework.benchmark.cells import Cell
from moframework.benchmark.estimating import Estimator, makespan
from moframework.benchmark.running import Watcher
from moframework.cli.tables import table
from moframework.tuning.spec import Study
from moframework.tuning.trial import Trial
from moframework.tuning.watching import Watcher as TrialWatcher
from moframework.tuning.words import said_choice

__all__ = ["BenchmarkLines", "TuningLines", "duration"]

_REFRESH = 2  # times a second


class BenchmarkLines(Watcher):
    """A line on stderr as each cell of a benchmark starts and ends, with an estimate of the time left; in a terminal
    also a live table of the cells that run. A context, in which the table is there.

    The time left is estimated from what finished cells of the same problem and solver took, in this benchmark's folder,
    else from the mean of those that have ended.

    Args:
        console: where to; by default stderr.
    """

    def __init__(self, console: Console | None = None) -> None:
        # By rich's account a pipe is a terminal too where FORCE_COLOR is set, and would get the live table.
        live = None if sys.stderr.isatty() else False
        plain = Console(file=sys.stderr, highlight=False, markup=False, soft_wrap=True, force_terminal=live)
        self._console = console or plain
        self._jobs = self._done = self._most = 0
        self._waiting: dict[Path, Cell] = {}
        self._running: dict[Path, tuple[Cell, float]] = {}
        self._expected: dict[Path, float | None] = {}
        self._took: list[float] = []
        self._parallel: int | None = None
        self._estimator = Estimator()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(
                console=self._console, get_renderable=self._table, refresh_per_second=_REFRESH, transient=True
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def planned(self, jobs: int, done: int) -> None:
        """How many cells there are to run."""
        self._jobs, self._done, self._took = jobs, done, []
        if done < jobs:
            self._line(f"{jobs - done} of {jobs} cells to run" + (f", {done} are done already" if done else ""))

    def waiting(self, cells: Sequence[Cell], parallel: int | None) -> None:
        """Which they are."""
        self._waiting, self._running, self._parallel = {one.folder: one for one in cells}, {}, parallel
        self._expect(cells)

    def started(self, cell: Cell) -> None:
        """A cell starts."""
        self._waiting.pop(cell.folder, None)
        self._running[cell.folder] = cell, time.monotonic()
        self._most = max(self._most, len(self._running))
        self._line(f"started  {cell.name}")

    def ended(self, cell: Cell, seconds: float) -> None:
        """A cell ended."""
        self._waiting.pop(cell.folder, None)
        self._running.pop(cell.folder, None)
        self._took.append(seconds)
        state = cell.state
        if state == "done":
            self._estimator.forget(cell)
            self._expect([one for one in self._waiting.values() if one.folder.parent == cell.folder.parent])
        at = f"[{self._done + len(self._took)}/{self._jobs}]"
        took = f"in {duration(seconds)}"
        if state == "done":
            value = cell.run.summary()["hypervolumes"]["val"].get("losses")
            took += "" if value is None else f", validation hypervolume {value['value']:.4f}"
        elif state == "failed":
            took += f": {(cell.message or '').strip().splitlines()[-1]}"
        left = self._left()
        self._line(f"{at} {state}  {cell.name} {took}" + (f"; about {duration(left)} left" if left else ""))

    def _expect(self, cells: Sequence[Cell]) -> None:
        for one in cells:
            found = self._estimator.of(one)
            self._expected[one.folder] = None if found is None else found.seconds

    def _left(self) -> float | None:
        """Seconds until the last cell ends; None where nothing is known of any."""
        usual = sum(self._took) / len(self._took) if self._took else None
        now, open_ = time.monotonic(), list[float]()
        for one, since in list(self._running.values()):
            open_.append(max(0.0, (self._expected.get(one.folder) or usual or 0.0) - (now - since)))
        for folder in list(self._waiting):
            expected = self._expected.get(folder) or usual
            if expected is None:
                return None
            open_.append(expected)
        return makespan(open_, self._parallel or max(1, self._most)) if open_ else None

    def _table(self) -> RenderableType:
        """The cells that run, and how far all are."""
        rows = table(("running", "for", "of about"), right=("for", "of about"))
        for one, since in list(self._running.values()):
            expected = self._expected.get(one.folder)
            about = "?" if expected is None else duration(expected)
            rows.add_row(one.name, duration(time.monotonic() - since), about)
        left = self._left()
        text = f"{self._done + len(self._took)} of {self._jobs} cells, {len(self._waiting)} wait"
        if left is not None:
            text += f", about {duration(left)} left"
        return Group(rows, Text(text)) if self._running else Text(text)

    def _line(self, text: str) -> None:
        self._console.print(Text(text))


class TuningLines(TrialWatcher):
    """A line on stderr as each trial of a study starts and ends, with the best so far."""

    def __init__(self) -> None:
        self._best: float | None = None

    def planned(self, study: Study, begun: int) -> None:
        """How many trials there are to run."""
        self._best = None
        there = f", {begun} have begun before" if begun else ""
        _line(f"{study.name or 'study'}: at most {study.tune.trials} trials{there}")

    def started(self, study: Study, trial: Trial) -> None:
        """A trial starts."""
        _line(f"started  trial {trial.number}: {', '.join(said_choice(trial.choice))}")

    def ended(self, study: Study, trial: Trial) -> None:
        """A trial ended."""
        at = f"[{trial.number + 1}/{study.tune.trials}] {trial.state}"
        if trial.hypervolume is None:
            _line(f"{at}  trial {trial.number}: {trial.message or ''}")
            return
        self._best = trial.hypervolume if self._best is None else max(self._best, trial.hypervolume)
        _line(
            f"{at}  trial {trial.number} in {duration(trial.seconds)}, validation hypervolume {trial.hypervolume:.4f}"
            f"; best {self._best:.4f}"
        )


def duration(seconds: float) -> str:
    """`42 s`, `3 min` or `2.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _line(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
