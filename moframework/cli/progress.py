"""What the command line shows on stderr while a benchmark runs its cells, or a study its trials."""

from __future__ import annotations

import sys
import time

from moframework.benchmark.cells import Cell
from moframework.benchmark.running import Watcher
from moframework.tuning.spec import Study
from moframework.tuning.trial import Trial
from moframework.tuning.watching import Watcher as TrialWatcher
from moframework.tuning.words import said_choice

__all__ = ["BenchmarkLines", "TuningLines"]


class BenchmarkLines(Watcher):
    """A line on stderr as each cell of a benchmark starts and ends, with an estimate of the time left."""

    def __init__(self) -> None:
        self._jobs = self._done = self._ended = 0
        self._since = 0.0

    def planned(self, jobs: int, done: int) -> None:
        """How many cells there are to run."""
        self._jobs, self._done, self._ended = jobs, done, 0
        self._since = time.monotonic()
        if done < jobs:
            _line(f"{jobs - done} of {jobs} cells to run" + (f", {done} are done already" if done else ""))

    def started(self, cell: Cell) -> None:
        """A cell starts."""
        _line(f"started  {cell.name}")

    def ended(self, cell: Cell, seconds: float) -> None:
        """A cell ended."""
        self._ended += 1
        state = cell.state
        at = f"[{self._done + self._ended}/{self._jobs}]"
        took = f"in {_duration(seconds)}"
        if state == "done":
            value = cell.run.summary()["hypervolumes"]["val"].get("losses")
            took += "" if value is None else f", validation hypervolume {value['value']:.4f}"
        elif state == "failed":
            took += f": {(cell.message or '').strip().splitlines()[-1]}"
        left = self._jobs - self._done - self._ended
        rate = (time.monotonic() - self._since) / self._ended
        _line(f"{at} {state}  {cell.name} {took}" + (f"; about {_duration(left * rate)} left" if left else ""))


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
            f"{at}  trial {trial.number} in {_duration(trial.seconds)}, validation hypervolume {trial.hypervolume:.4f}"
            f"; best {self._best:.4f}"
        )


def _duration(seconds: float) -> str:
    """`42 s`, `3 min` or `2.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _line(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
