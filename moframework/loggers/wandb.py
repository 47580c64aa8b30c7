"""Weights & Biases (https://wandb.ai, its client MIT): optional, `pip install 'moframework[wandb]'`."""

from __future__ import annotations

from typing import Any, Literal

from moframework.config import config, option
from moframework.engine.events import Progress, Reading
from moframework.loggers import scalars
from moframework.loggers.base import Log, LoggedRun, Logger, Results, needs
from moframework.pareto.front import Front

__all__ = ["WandB", "WandBLog"]

_ID = "wandb"


@config
class WandB(Logger):
    """A run of Weights & Biases: the spec as its configuration, numbers over the steps, the picture of the front, and,
    if asked for, the model as an artifact. Needs the extra: `pip install 'moframework[wandb]'`.

    Written into the run folder alone, for `wandb sync`::

        log: {name: wandb, project: digits, mode: offline}
    """

    project: str | None = option(None, help="name of the project; none: WANDB_PROJECT, else moframework")
    entity: str | None = option(None, help="user or team; none: the default of the account")
    mode: Literal["online", "offline"] | None = option(
        None, help="offline writes into the run folder alone, for `wandb sync`; none: WANDB_MODE, else online"
    )
    model: bool = option(False, help="whether the model goes there too, as an artifact")

    def check(self) -> None:
        """It needs wandb."""
        needs("wandb", "wandb", "the logger wandb")

    def log(self, run: LoggedRun) -> Log:
        return WandBLog(self, run)


class WandBLog(Log):
    """Writes a run down in Weights & Biases, with numbers that have the names of `moframework.loggers.scalars`.

    A resumed run goes on under the same id. Steps that W&B has already it leaves out by itself.

    Args:
        options: of the logger.
        run: what is logged.
    """

    def __init__(self, options: WandB, run: LoggedRun) -> None:
        self.options, self.run = options, run
        self._tracked: Any = None
        self._step = 0

    def started(self, progress: Progress) -> None:
        """Open the run, or go on with it."""
        import os

        import wandb

        self._tracked = wandb.init(
            project=self.options.project or os.environ.get("WANDB_PROJECT") or "moframework",
            entity=self.options.entity,
            name=self.run.name,
            id=self.run.remembered(_ID),
            resume="allow",
            dir=str(self.run.folder),
            config=scalars.flat(self.run.spec),
            mode=self.options.mode,
            settings=wandb.Settings(console="off", init_timeout=30, quiet=True),
        )
        self._step = progress.step
        self.run.remember(_ID, self._tracked.id)

    def logged(self, progress: Progress, reading: Reading) -> None:
        """Write losses, rates and speed."""
        self._open().log(scalars.of_reading(reading), step=progress.step)

    def evaluated(self, progress: Progress, front: Front, *, hypervolume: float, is_best: bool) -> None:
        """Write the indicators of the validation front."""
        self._open().log(scalars.of_front(front, hypervolume), step=progress.step)

    def finished(self, progress: Progress) -> None:
        """Know the step of the final numbers."""
        self._step = progress.step

    def ended(self, results: Results) -> None:
        """Write the final numbers as the summary, the picture, and the model if asked for."""
        import wandb

        tracked = self._open()
        tracked.log({"front": wandb.Image(str(self.run.folder / "front.png"))}, step=self._step)
        tracked.summary.update(scalars.of_results(results.fronts))
        if self.options.model:
            artifact = wandb.Artifact(f"model-{tracked.id}", type="model")
            artifact.add_dir(str(self.run.folder / "model"))
            tracked.log_artifact(artifact)

    def close(self, error: BaseException | None = None) -> None:
        """Bring everything there, and say how the run ended."""
        if self._tracked is not None:
            tracked, self._tracked = self._tracked, None
            tracked.finish(exit_code=0 if error is None else 1)

    def _open(self) -> Any:
        if self._tracked is None:
            raise RuntimeError("a run of W&B is written between `started` and `close`")
        return self._tracked
