"""Observers that write a training down: as lines of text, and as TensorBoard events."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from moframework.engine.events import Observer, Progress, Reading
from moframework.pareto.front import Front

if TYPE_CHECKING:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["Lines", "TensorBoardLog", "TextLog"]

MOST_TASKS_IN_A_LINE = 6
BINS = np.linspace(0.0, 1.0, 21)  # of the histograms of preferences


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


class TensorBoardLog(Observer):
    """Writes TensorBoard events: losses, validation, learning rates, drawn preferences, and pictures of the front.

    Scalars: `loss/TASK` (training), `speed/milliseconds_per_step`, `learning_rate/GROUP`, `validation/hypervolume` (of
    the losses) and `validation/hypervolume_METRIC`, `validation/nondominated_share`, `best_loss/TASK` and
    `best_metric/TASK/METRIC` (best value on the validation front), `controllability/TASK` (rank correlation between
    preference and loss; −1 is ideal). Histograms: `preference/TASK`. Pictures: `front/validation`, with earlier fronts
    behind the present one.

    Steps on the horizontal axis are optimizer steps. Every event is brought to disk at once, so all up to a checkpoint
    are there before it is. After a resume, what an earlier process wrote beyond its last checkpoint is purged, so that
    no step appears twice. Drawing takes at most about a tenth of the time, and a picture comes only when a tenth of the
    time so far has passed since the last one: where validations follow each other fast, or are many, some get none, and
    the pictures of the longest run are a hundred or two.

    Args:
        folder: where event files go; made when training starts.
        tasks: names of the tasks, in the order of the columns of preferences.
    """

    def __init__(self, folder: Path, tasks: tuple[str, ...]) -> None:
        self.folder = folder
        self.tasks = tasks
        self._writer: SummaryWriter | None = None
        self._fronts: list[Front] = []
        self._draw_after = -math.inf
        self._began = time.monotonic()
        self._undrawn: tuple[int, Front] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def started(self, progress: Progress) -> None:
        """Open a new event file; events of a killed process beyond this step are marked as void."""
        from torch.utils.tensorboard import SummaryWriter

        self.close()
        earlier = [int(path.name.split(".")[3]) for path in self.folder.glob("events.out.tfevents.*")]
        # Readers take files by name, which begins with the second they were opened in: wait for the next second.
        while earlier and 0 <= max(earlier) - int(time.time()) < 2:
            time.sleep(0.05)
        purge_from = progress.step + 1 if progress.step else 0
        self._writer = SummaryWriter(str(self.folder), purge_step=purge_from if earlier else None)

    def logged(self, progress: Progress, reading: Reading) -> None:
        """Write losses, rates, speed and the preferences of the last step."""
        writer = self._open()
        for task, loss in reading.losses.items():
            writer.add_scalar(f"loss/{task}", loss, progress.step)
        for group, rate in reading.learning_rates.items():
            writer.add_scalar(f"learning_rate/{group}", rate, progress.step)
        writer.add_scalar("speed/milliseconds_per_step", 1000 * reading.seconds_per_step, progress.step)
        for column, task in enumerate(self.tasks):
            writer.add_histogram(f"preference/{task}", reading.preferences[:, column], progress.step, bins=BINS)
        writer.flush()

    def evaluated(self, progress: Progress, front: Front, *, hypervolume: float, is_best: bool) -> None:
        """Write the indicators of the validation front, and its picture."""
        writer = self._open()
        writer.add_scalar("validation/hypervolume", hypervolume, progress.step)
        for name, indicator in front.hypervolumes().items():
            if name != "losses":
                writer.add_scalar(f"validation/hypervolume_{name}", indicator["value"], progress.step)
        writer.add_scalar("validation/nondominated_share", float(front.nondominated().mean()), progress.step)
        for task, loss, rank in zip(front.tasks, front.losses.min(axis=0), front.controllability(), strict=True):
            writer.add_scalar(f"best_loss/{task}", float(loss), progress.step)
            if not math.isnan(rank):
                writer.add_scalar(f"controllability/{task}", float(rank), progress.step)
        for name, values in front.metrics.items():
            best = values.max() if front.higher_is_better[name] else values.min()
            writer.add_scalar(f"best_metric/{name}", float(best), progress.step)
        if time.monotonic() >= self._draw_after:
            self._draw(progress.step, front)
        else:
            self._undrawn = (progress.step, front)
        writer.flush()

    def saved(self, progress: Progress, path: Path) -> None:
        """Bring everything so far to disk."""
        self._open().flush()

    def finished(self, progress: Progress) -> None:
        """Draw the last front if it was left out, and close the file."""
        if self._undrawn is not None:
            self._draw(*self._undrawn)
        self.close()

    def close(self) -> None:
        """Close the event file. Called again, or before the start, it does nothing."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> SummaryWriter:
        if self._writer is None:
            raise RuntimeError("the TensorBoard log is written between `started` and `finished` or `close`")
        return self._writer

    def _draw(self, step: int, front: Front) -> None:
        # matplotlib takes half a second to import: only who draws pays
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        from moframework.pareto.plots import front_figure

        begun = time.monotonic()
        figure = front_figure(front, previous=tuple(self._fronts), title=f"step {step}")
        self._open().add_image("front/validation", _pixels(FigureCanvasAgg(figure)), step, dataformats="HWC")
        if self._fronts:  # the first picture is slow for other reasons: fonts are found, colors made
            now = time.monotonic()
            self._draw_after = now + max(9 * (now - begun), 0.1 * (now - self._began))
        self._fronts = [*_thinned(self._fronts), front]
        self._undrawn = None


def loss_text(losses: dict[str, float]) -> str:
    """Losses by task in a few words; the mean alone when there are many tasks."""
    if len(losses) > MOST_TASKS_IN_A_LINE:
        return f"{sum(losses.values()) / len(losses):.4g} (mean of {len(losses)} tasks)"
    return ", ".join(f"{task} {loss:.4g}" for task, loss in losses.items())


def _epochs(progress: Progress) -> str:
    return f"{round(progress.epochs, 2):g}"  # not whole where the budget is given in steps


def _position(progress: Progress) -> str:
    return f"epoch {progress.epoch:.2f}/{_epochs(progress)} step {progress.step}/{progress.steps}"


def _thinned(fronts: list[Front], most: int = 8) -> list[Front]:
    """Every second front once there are `most`, so that few show the whole way."""
    return fronts[::2] if len(fronts) >= most else fronts


def _pixels(canvas: FigureCanvasAgg) -> NDArray[np.uint8]:
    """What is drawn on the canvas, as an image (height, width, 3)."""
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba(), dtype=np.uint8)[..., :3]  # type: ignore[no-untyped-call]
