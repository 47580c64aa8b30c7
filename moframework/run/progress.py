"""What shows people how far a training is: a bar in a notebook or on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import html
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

from moframework.engine.events import Observer, Progress, Reading
from moframework.pareto.front import Front
from moframework.run.logs import Lines, loss_text

__all__ = ["NotebookBar", "ProgressBar", "in_notebook", "watching"]

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


class NotebookBar(Observer):
    """A bar in the output of a notebook's cell, redrawn four times a second at most.

    It is HTML, shown and replaced through IPython's display protocol: it needs no widgets, and is still there when the
    notebook is read again. Use it as a context: leaving says whether training was stopped.
    """

    def __init__(self) -> None:
        self._handle: Any = None
        self._last: Progress | None = None
        self._losses = self._hypervolume = self._left = ""
        self._since, self._from, self._next = 0.0, 0, 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._last is not None:
            self._left = "stopped"
            self._show(self._last)

    def started(self, progress: Progress) -> None:
        """Show the bar, as far along as training is."""
        self._since, self._from = time.monotonic(), progress.step
        self._show(progress)

    def stepped(self, progress: Progress) -> None:
        """Move the bar, where it was not moved just now."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + 0.25
            done = progress.step - self._from
            left = (now - self._since) / max(done, 1) * (progress.steps - progress.step)
            self._left = f"{left // 60:.0f}:{left % 60:02.0f} left"
            self._show(progress)

    def logged(self, progress: Progress, reading: Reading) -> None:
        """Show the losses with the next step that is shown."""
        self._losses = f"loss {loss_text(reading.losses)}"

    def evaluated(self, progress: Progress, front: Front, *, hypervolume: float, is_best: bool) -> None:
        """Show the hypervolume of the validation front."""
        self._hypervolume = f"hypervolume {hypervolume:.4f}"
        self._show(progress)

    def finished(self, progress: Progress) -> None:
        """Show where training ended, and how long it took."""
        took = time.monotonic() - self._since
        self._left = f"{took // 60:.0f}:{took % 60:02.0f}"
        self._show(progress)

    def _show(self, progress: Progress) -> None:
        from IPython.display import display

        self._last = progress
        words = [f"epoch {_epoch(progress)}", self._losses, self._hypervolume, self._left]
        text = " · ".join(word for word in words if word)
        bar = f'<progress value="{progress.step}" max="{progress.steps}" style="vertical-align:middle"></progress>'
        shown = {"text/plain": text, "text/html": f"<div>{bar} {html.escape(text)}</div>"}
        if self._handle is None:
            self._handle = display(shown, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(shown, raw=True)


def in_notebook() -> bool:
    """Whether this process runs the cells of a notebook: Jupyter, VS Code, Colab and their like."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


@contextlib.contextmanager
def watching(quiet: bool) -> Iterator[tuple[Observer, ...]]:
    """The observers that show a training: a bar in a notebook, or on stderr where that is a terminal, else plain lines
    there; none when `quiet`."""
    if quiet:
        yield ()
    elif in_notebook():
        with NotebookBar() as shown:
            yield (shown,)
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
