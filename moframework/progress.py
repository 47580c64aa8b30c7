"""What the command line shows on stderr while a run trains: a bar on a terminal, plain lines elsewhere."""

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

from moframework.engine.events import Observer, Progress, Reading
from moframework.pareto.front import Front
from moframework.run.logs import Lines, loss_text

__all__ = ["ProgressBar", "watching"]

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


def _line(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
