"""`Run`: a run directory as an object, to be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from moframework.backbones.given import GivenBackbone
from moframework.config import Trust
from moframework.errors import DamagedFileError, NewerFormatError, RunError, nearest
from moframework.io.lock import is_held
from moframework.io.sealed import read_json, read_sealed_yaml
from moframework.model import ParetoModel
from moframework.model.io import verify_model
from moframework.pareto.front import Front
from moframework.predicting import Predictions, Unseen
from moframework.run.resuming import resume_command
from moframework.spec import Spec, load_spec

__all__ = ["CHECKPOINTS", "DATA", "ENVIRONMENT", "EVENTS", "LOG", "MODEL", "SPEC", "STATUS", "Run"]

SPEC, STATUS, ENVIRONMENT, LOG = "spec.yaml", "status.json", "environment.json", "log.txt"
CHECKPOINTS, EVENTS, MODEL, DATA = "checkpoints", "events", "model", "data.json"


class Run:
    """A run directory.

    Example::

        run = Run("runs/quickstart-20260101-120000")
        front = run.front("test")
        network = run.model().at([0.3, 0.7])

    Args:
        path: of the folder.
        trust: where the run's spec or model names code (`python: ./mine.py:Mine`), neither is loaded unless True says
            that this code may be run, or a list has the classes and functions that are named. A process that has
            imported them already, as the one that solved the run has, needs neither.

    Raises:
        RunError: `path` is not a run.
    """

    def __init__(self, path: Path | str, *, trust: Trust = False) -> None:
        self.path = Path(path)
        self.trust = trust
        if not (self.path / SPEC).is_file():
            hint = ""
            if self.path.parent.is_dir():
                guess = nearest(self.path.name, [p.name for p in self.path.parent.iterdir() if (p / SPEC).is_file()])
                hint = f" Did you mean {self.path.parent / guess}?" if guess else ""
            raise RunError(f"{self.path} is not a run folder: it has no {SPEC}.{hint} `moframework solve` makes one.")

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def spec(self) -> Spec:
        """The expanded spec that the run solves. Raises `SpecError`, also where it names code that is not trusted."""
        return load_spec(self.spec_file, trust=self.trust)

    @property
    def spec_file(self) -> Path:
        """Where the expanded spec lies, which is what the run wrote there.

        Raises:
            DamagedFileError: it is not, or cannot be read.
        """
        path = self.path / SPEC
        read_sealed_yaml(
            path,
            advice="It says what the run solves. Bring it back from a copy; to solve another spec, copy it, change the "
            "copy and start a new run with it.",
        )
        return path

    @property
    def status(self) -> str:
        """`running`, `done`, `interrupted`, `failed`; `killed` where its process ended without a word; `unknown` where
        `status.json` is damaged. Raises `NewerFormatError` where a newer version wrote it."""
        try:
            told = str(self.summary().get("status", "running"))
        except DamagedFileError:
            return "unknown"
        return "killed" if told == "running" and not is_held(self.path) else told

    def summary(self) -> dict[str, Any]:
        """What `status.json` says: status, seconds, steps, hypervolumes, parameters; empty when it does not exist
        yet.

        Raises:
            DamagedFileError: it cannot be read.
            NewerFormatError: a newer version wrote it.
        """
        path = self.path / STATUS
        if not path.is_file():
            return {}
        return read_json(path, advice=f"To write it anew: {resume_command(self.path)}")

    def damaged(self) -> list[str]:
        """What is wrong with the files of a finished run that are read again, a text each: its fronts, model, status
        and environment. `solve(…, resume=True)` makes them anew.

        Raises:
            NewerFormatError: a newer version wrote one of them, which is no damage: it is not to be replaced.
        """
        faults = []
        for read in (self.summary, self.environment, lambda: self.front("val"), self.front, self._model_checked):
            try:
                read()
            except NewerFormatError:
                raise
            except RunError as error:
                faults.append(str(error))
        return faults

    def _model_checked(self) -> None:
        verify_model(self.path / MODEL)

    def environment(self) -> dict[str, Any]:
        """What `environment.json` says: what the results depended on besides the spec. See `run.environment`.

        Raises:
            DamagedFileError: it cannot be read.
            NewerFormatError: a newer version wrote it.
        """
        return read_json(self.path / ENVIRONMENT, advice=f"To write it anew: {resume_command(self.path)}")

    def front(self, split: str = "test") -> Front:
        """The evaluated front of `split`, `val` or `test`.

        Raises:
            RunError: not evaluated yet; as `DamagedFileError` where the file cannot be read.
        """
        path = self.path / f"front-{split}.json"
        if not path.is_file():
            have = sorted(p.stem.removeprefix("front-") for p in self.path.glob("front-*.json"))
            raise RunError(
                f"{self.path} has no front of split '{split}' (status: {self.status}). "
                + (f"It has: {', '.join(have)}." if have else f"Finish it with: {resume_command(self.path)}")
            )
        return Front.load(path)

    def delta_m(self, single: Run, split: str = "test") -> NDArray[np.float64]:
        """Δm % of each point (n,) against a run of single-task networks, such as `stl`; see `Front.delta_m`.

        Raises:
            RunError: the other run is no single-task learning, solves another problem, or either has no such front.
        """
        one, other = self.spec, single.spec
        if not type(other.solver).single_task:
            raise RunError(
                f"{single.path} is no run of single-task networks, which Δm refers to: "
                f"its solver is {type(other.solver).__name__}. Solve the same problem with solver: stl."
            )
        if one.problem != other.problem:
            raise RunError(f"{single.path} solves another problem than {self.path}, or with other options of it")
        try:
            return self.front(split).delta_m(single.front(split))
        except ValueError as error:
            raise RunError(f"{self.path} cannot be held against {single.path}: {error}") from error

    def model(
        self, device: torch.device | str = "cpu", *, trust: Trust = False, backbone: GivenBackbone = None
    ) -> ParetoModel:
        """The trained model; `trust` as of the run, where that has none, and `backbone` as of `ParetoModel.load`.

        Raises:
            RunError: the run has not finished, or the model names code that is not trusted.
        """
        return ParetoModel.load(self.path / MODEL, device, trust=trust or self.trust, backbone=backbone)

    def predict(
        self,
        raw: Any,
        preference: ArrayLike | torch.Tensor,
        *,
        unseen: Unseen = "refuse",
        keep: Sequence[str] = (),
        device: torch.device | str = "cpu",
    ) -> Predictions:
        """What the trained model says of raw data at one preference; see `ParetoModel.predict`. A model that is asked
        more than once is better loaded once.

        Raises:
            RunError: as `model`; or it is not known how raw data becomes inputs.
            DataError: raw data cannot be read, or not as in training.
        """
        return self.model(device).predict(raw, preference, unseen=unseen, keep=keep)
