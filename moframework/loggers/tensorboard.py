"""TensorBoard: events in the run folder, the logger that a spec has by default."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from moframework.config import config
from moframework.engine.events import Progress, Reading
from moframework.loggers import scalars
from moframework.loggers.base import Log, LoggedRun, Logger, Results
from moframework.pareto.front import Front

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["TensorBoard", "TensorBoardLog"]

BINS = np.linspace(0.0, 1.0, 21)  # of the histograms of preferences
FIRST_PICTURE = 3.0
"""Seconds before the first picture but the last: drawing one takes some tenths of a second, much in a short run."""


@config
class TensorBoard(Logger):
    """TensorBoard events in `events/` of the run folder: numbers over the steps, pictures of the front, the spec as
    hparams with the final numbers.

    It is the default; beside another logger it has to be named::

        log: [tensorboard, mlflow]
    """

    def log(self, run: LoggedRun) -> Log:
        return TensorBoardLog(run.folder / "events", run.tasks, run.spec)


class TensorBoardLog(Log):
    """Writes TensorBoard events: losses, validation, learning rates, drawn preferences, and pictures of the front.

    Scalars have the names of `moframework.loggers.scalars`. Histograms: `preference/TASK`. Pictures:
    `front/validation`, with earlier fronts behind the present one. When the results are there: their numbers, and the
    spec as hparams, by which TensorBoard's page HPARAMS compares runs.

    Steps on the horizontal axis are optimizer steps. Every event is brought to disk at once, so all up to a checkpoint
    are there before it is. After a resume, what an earlier process wrote beyond its last checkpoint is purged, so that
    no step appears twice. Drawing takes at most about a tenth of the time, and a picture comes only when a tenth of the
    time so far has passed since the last one: where validations follow each other fast, or are many, some get none, and
    the pictures of the longest run are a hundred or two.

    Args:
        folder: where event files go; made when training starts.
        tasks: names of the tasks, in the order of the columns of preferences.
        spec: plain data, for hparams.
    """

    def __init__(self, folder: Path, tasks: tuple[str, ...], spec: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        self.tasks = tasks
        self.spec = spec or {}
        self._writer: SummaryWriter | None = None
        self._fronts: list[Front] = []
        self._began = time.monotonic()
        self._draw_after = self._began + FIRST_PICTURE
        self._undrawn: tuple[int, Front] | None = None
        self._step = 0

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
        self._add(scalars.of_reading(reading), progress.step)
        for column, task in enumerate(self.tasks):
            writer.add_histogram(f"preference/{task}", reading.preferences[:, column], progress.step, bins=BINS)
        writer.flush()

    def evaluated(self, progress: Progress, front: Front, *, hypervolume: float, is_best: bool) -> None:
        """Write the indicators of the validation front, and its picture."""
        self._add(scalars.of_front(front, hypervolume), progress.step)
        if time.monotonic() >= self._draw_after:
            self._draw(progress.step, front)
        else:
            self._undrawn = (progress.step, front)
        self._open().flush()

    def saved(self, progress: Progress, path: Path) -> None:
        """Bring everything so far to disk."""
        self._open().flush()

    def finished(self, progress: Progress) -> None:
        """Draw the last front if it was left out."""
        if self._undrawn is not None:
            self._draw(*self._undrawn)
        self._step = progress.step
        self._open().flush()

    def ended(self, results: Results) -> None:
        """Write the final numbers, at the last step, and the spec as hparams."""
        from torch.utils.tensorboard.summary import hparams

        writer, final = self._open(), scalars.of_results(results.fronts)
        self._add(final, self._step)
        # Beside `SummaryWriter.add_hparams`, which would write them into a folder of their own, as another run.
        for summary in hparams(scalars.flat(self.spec), final):  # type: ignore[no-untyped-call]
            writer._get_file_writer().add_summary(summary)  # type: ignore[no-untyped-call]
        writer.flush()

    def close(self, error: BaseException | None = None) -> None:
        """Close the event file. Called again, or before the start, it does nothing."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> SummaryWriter:
        if self._writer is None:
            raise RuntimeError("the TensorBoard log is written between `started` and `close`")
        return self._writer

    def _add(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._open().add_scalar(name, value, step)

    def _draw(self, step: int, front: Front) -> None:
        begun = time.monotonic()
        self._open().add_image("front/validation", picture(front, self._fronts, step), step, dataformats="HWC")
        if self._fronts:  # the first picture is slow for other reasons: fonts are found, colors made
            now = time.monotonic()
            self._draw_after = now + max(9 * (now - begun), 0.1 * (now - self._began))
        self._fronts = [*_thinned(self._fronts), front]
        self._undrawn = None


def _thinned(fronts: list[Front], most: int = 8) -> list[Front]:
    """Every second front once there are `most`, so that few show the whole way."""
    return fronts[::2] if len(fronts) >= most else fronts


def picture(front: Front, previous: Sequence[Front], step: int) -> NDArray[np.uint8]:
    """A front with those before it, as an image (height, width, 3)."""
    # matplotlib takes half a second to import: only who draws pays
    from moframework.pareto.plots import front_figure, pixels

    return pixels(front_figure(front, previous=tuple(previous), title=f"step {step}"))
