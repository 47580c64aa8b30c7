"""What the command line shows on stderr while a run trains, a bar on a terminal, plain lines elsewhere; and while a
benchmark runs its cells."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

from moframework.benchmark.cells import Cell
from moframework.benchmark.running import Watcher
from moframework.engine.events import Observer, Progress, Reading
from moframework.pareto.front import Front
from moframework.run.logs import Lines, loss_text

__all__ = ["BenchmarkLines", "ProgressBar", "watching"]

SECONDS_BETWEEN_LINES = 10.0


class ProgressBar(Observer):
    """A bar with epoch, steps, losses, hypervolume and the time left, redrawn four times a second.

    Use it as a context: leaving stops the bar, also when training ends with an error.
    """

    def __init__(self, console: Console) -> None:
        self._bar = Bar(
            _text("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=12),
            _text("{task.fields[losses]}"),
            _text("{task.fields[hypervolume]}"),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
            _text("left"),
            console=console,
            refresh_per_second=4,
        )
        self._losses = self._hypervolume = ""
        self._next = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def started(self, progress: Progress) -> None:
        """Show the bar, as far along as training is."""
        self._task = self._bar.add_task(
            "", completed=progress.step, total=progress.steps, epoch=_epoch(progress), losses="", hypervolume=""
        )
        self._bar.start()

    def stepped(self, progress: Progress) -> None:
        """Move the bar, at most ten times a second."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + 0.1
            self._move(progress)

    def logged(self, progress: Progress, reading: Reading) -> None:
        """Show the losses."""
        self._losses = f"loss {loss_text(reading.losses)}"
        self._move(progress)

    def evaluated(self, progress: Progress, front: Front, *, hypervolume: float, is_best: bool) -> None:
        """Show the hypervolume of the validation front."""
        self._hypervolume = f"hypervolume {hypervolume:.4f}"
        self._move(progress)

    def finished(self, progress: Progress) -> None:
        """Stop the bar where training ended."""
        self._move(progress)
        self._bar.stop()

    def _move(self, progress: Progress) -> None:
        self._bar.update(
            self._task,
            completed=progress.step,
            epoch=_epoch(progress),
            losses=self._losses,
            hypervolume=self._hypervolume,
        )


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


@contextlib.contextmanager
def watching(quiet: bool) -> Iterator[tuple[Observer, ...]]:
    """The observers that show a training on stderr: a bar on a terminal, else plain lines, or none when `quiet`."""
    if quiet:
        yield ()
    elif sys.stderr.isatty():
        with ProgressBar(Console(stderr=True, highlight=False)) as bar:
            yield (bar,)
    else:
        yield (Lines(_line, pause=SECONDS_BETWEEN_LINES),)


def _text(template: str) -> TextColumn:
    return TextColumn(template, markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))


def _epoch(progress: Progress) -> str:
    return f"{progress.epoch:.1f}/{round(progress.epochs, 1):g}"


def _duration(seconds: float) -> str:
    """`42 s`, `3 min` or `2.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _line(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
