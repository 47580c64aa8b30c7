"""Observers that write a training down as lines of text."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np

from moframework.engine.events import Observer, Progress, Reading
from moframework.pareto.front import Front

__all__ = ["Lines", "TextLog"]

MOST_TASKS_IN_A_LINE = 6


class Lines(Observer):
    """A training in words: each event becomes a line given to `write`.

    Args:
        write: takes a line without its newline.
        pause: seconds that must pass between two readings of the losses; more frequent ones are left out. Validations,
            and the first reading of an epoch, are always told.
    """

    def __init__(self, write: Callable[[str], None], *, pause: float = 0.0) -> None:
        self.write = write
        self._pause = pause
        self._told = -math.inf
        self._epoch = -1

    def started(self, progress: Progress) -> None:
        """Say where training begins or continues."""
        what = f"continuing at {_position(progress)}" if progress.step else "training"
        self.write(f"{what}: {progress.steps} steps, {_epochs(progress)} epochs")

    def noted(self, words: str) -> None:
        """Say what was decided."""
        self.write(words)

    def logged(self, progress: Progress, reading: Reading) -> None:
        """Say the losses, the learning rates and the speed."""
        now, epoch = time.monotonic(), math.floor(progress.epoch)
        if now - self._told < self._pause and epoch == self._epoch:
            return
        self._told, self._epoch = now, epoch
        rates = ", ".join(f"{rate:.3g}" for rate in dict.fromkeys(reading.learning_rates.values()))
        self.write(
            f"{_position(progress)}: loss {loss_text(reading.losses)}; learning rate {rates}; "
            f"{1000 * reading.seconds_per_step:.3g} ms a step"
        )

    def evaluated(self, progress: Progress, front: Front, *, hypervolume: float, is_best: bool) -> None:
        """Say what the validation front is worth."""
        self.write(
            f"{_position(progress)}: {front.split} hypervolume {hypervolume:.4f}{' (best)' if is_best else ''}, "
            f"{np.count_nonzero(front.nondominated())} of {len(front.losses)} points non-dominated"
        )

    def finished(self, progress: Progress) -> None:
        """Say when training ended."""
        self.write(f"{_position(progress)}: training finished")


class TextLog(Lines):
    """Appends to a text file, each line with the local time; a resumed run continues the same file.

    A line is written at once and by itself, so a killed run loses none that it had told.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(self.append)
        self.path = path

    def append(self, line: str) -> None:
        """Add one line. Raises `OSError` when the file cannot be written."""
        stamp = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        text = f"{stamp} {line}\n"
        with self.path.open("a+b") as file:
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # a full disk, or a lost machine, cut the last line short
                    text = "\n" + text
            file.write(text.encode())

    def close(self) -> None:
        """Nothing to do: the file is open only while a line is written."""


def loss_text(losses: dict[str, float]) -> str:
    """Losses by task in a few words; the mean alone when there are many tasks."""
    if len(losses) > MOST_TASKS_IN_A_LINE:
        return f"{sum(losses.values()) / len(losses):.4g} (mean of {len(losses)} tasks)"
    return ", ".join(f"{task} {loss:.4g}" for task, loss in losses.items())


def _epochs(progress: Progress) -> str:
    return f"{round(progress.epochs, 2):g}"  # not whole where the budget is given in steps


def _position(progress: Progress) -> str:
    return f"epoch {progress.epoch:.2f}/{_epochs(progress)} step {progress.step}/{progress.steps}"
