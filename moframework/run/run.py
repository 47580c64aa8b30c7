"""`Run`: a run directory as an object, to be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import attrs
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from moframework.backbones.given import GivenBackbone
from moframework.config import Trust
from moframework.data import Dataset, Split
from moframework.errors import DamagedFileError, NewerFormatError, RunError, nearest
from moframework.io.lock import is_held
from moframework.io.sealed import read_json, read_sealed_yaml
from moframework.model import ParetoModel
from moframework.model.io import verify_model
from moframework.pareto.front import Front
from moframework.pareto.rules import Rule
from moframework.predicting import Predictions, Unseen
from moframework.run.evaluating import Batchnorm, Trained, new_data, preferences_for
from moframework.run.picking import Pick, pick, rule_of, step
from moframework.run.resuming import resume_command
from moframework.run.simplex_search import EVALUATIONS
from moframework.spec import Spec, load_spec

__all__ = ["CHECKPOINTS", "DATA", "ENVIRONMENT", "EVENTS", "HISTORY", "LOG", "MODEL", "REPORT", "SPEC", "STATUS", "Run"]

SPEC, STATUS, ENVIRONMENT, LOG = "spec.yaml", "status.json", "environment.json", "log.txt"
CHECKPOINTS, EVENTS, MODEL, DATA = "checkpoints", "events", "model", "data.json"
HISTORY, REPORT = "history.json", "report.json"


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
        """What is wrong with the files of a finished run that are read again, a text each: its fronts, model, status,
        environment, history and report. `solve(…, resume=True)` makes them anew.

        Raises:
            NewerFormatError: a newer version wrote one of them, which is no damage: it is not to be replaced.
        """
        faults = []
        fronts = (lambda: self.front("val"), self.front)
        for read in (self.summary, self.environment, *fronts, self.history, self.report, self._model_checked):
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

    def history(self) -> dict[str, Any]:
        """What `history.json` says: the validation fronts over the epochs, see `moframework schema --of history`. Empty
        where there is none: the run has not finished, or an earlier version made it.

        Raises:
            DamagedFileError: it cannot be read.
            NewerFormatError: a newer version wrote it.

        Example::

            for past in Run("runs/quickstart").history().get("validations", ()):
                print(past["epoch"], past["hypervolumes"])
        """
        return self._optional(HISTORY)

    def report(self) -> dict[str, Any]:
        """What `report.json` says: what ran, where the time went, and what is worth knowing. Empty where there is none:
        the run has not finished, or an earlier version made it. Errors as of `history`."""
        return self._optional(REPORT)

    def _optional(self, name: str) -> dict[str, Any]:
        path = self.path / name
        return read_json(path, advice=f"To write it anew: {resume_command(self.path)}") if path.is_file() else {}

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

    def evaluate(
        self,
        points: int | None = None,
        preferences: Sequence[ArrayLike] | None = None,
        split: Split = "test",
        *,
        data: Dataset | Path | str | None = None,
        batchnorm: Batchnorm | None = None,
        device: str | None = None,
        metrics: bool = True,
    ) -> Front:
        """The front of the saved model at any preferences, evaluated as at the end of the run; nothing is written.

        Args:
            points: an even set of so many preferences: 21 are steps of 0.05 for two tasks.
            preferences: or these, rows of m non-negative numbers, scaled to sum to 1. Without both those that the
                run's own fronts have. The solver of a finite set has its own alone.
            split: of the problem's data; the name of the front where `data` is given.
            data: other samples than the problem's: a data set whose inputs and targets are as those of the problem, or
                an .npz file, all of whose samples are read, where the problem's data is such a file.
            batchnorm: in place of the run's `evaluate.batchnorm`.
            device: in place of the run's `training.device`.
            metrics: the tasks' metrics too, not only the losses.

        Returns:
            a front with the reference point of the run.

        Raises:
            RunError: the run has not finished, a preference cannot be used, or the file cannot stand for the data.
            SpecError: the spec names code that is not trusted, or another device is needed.
            DataError: the data is missing.

        Example::

            front = Run("runs/quickstart").evaluate(points=101)
        """
        trained = self.trained(device, batchnorm)
        wanted = preferences_for(trained.model, self.front("val").preferences, points, preferences)
        if data is None:
            return trained.front(wanted, split, metrics=metrics)
        samples = new_data(trained.problem, Path(data)) if isinstance(data, Path | str) else data
        return trained.front_on(samples, wanted, split, metrics=metrics)

    def pick(
        self,
        where: str | Sequence[str] = (),
        *,
        maximize: str | None = None,
        minimize: str | None = None,
        rule: Rule | str | None = None,
        evaluations: int = EVALUATIONS,
        device: str | None = None,
    ) -> Pick:
        """The operating point that serves best, found by asking the model: the validation split chooses, and what the
        test split says of the point is told.

        For a solver of the whole front the simplex is searched, beginning with the run's validation front; of a finite
        set one of its own points is chosen. Nothing is written.

        Args:
            where: conditions on columns, all of which must hold: `"left/accuracy >= 0.95"`, `"left/loss = 0.3 ± 0.01"`;
                see `Condition.read`.
            maximize, minimize: the column that decides.
            rule: or another rule: `compromise`, `knee`, `tradeoff`, or one of `moframework.pareto.rules`, such as
                `Nearest({"left/loss": 0.2})`. Without any, the compromise.
            evaluations: preferences that are evaluated at most.
            device: in place of the run's `training.device`.

        Raises:
            RunError: a name, a condition or a rule is wrong; as `NothingSatisfiesError`, which says the nearest miss,
                where no point meets all conditions. Else as `evaluate`.

        Example::

            found = Run("runs/quickstart").pick("left/accuracy >= 0.85", maximize="right/accuracy")
            found.preference, found.test["right/accuracy"], found.intervals["test"]["right/accuracy"]
        """
        front = self.front("val")
        chosen = rule_of(front, maximize, minimize, rule)
        return pick(self.trained(device), front, where, chosen, evaluations)

    def step(
        self, preference: ArrayLike, towards: str, *, evaluations: int = EVALUATIONS, device: str | None = None
    ) -> Pick:
        """The next point along the front at which something is better: see `run.picking.step`. Errors as of `pick`.

        Args:
            preference: where the step begins, m non-negative numbers.
            towards: `right=better`, `right/loss=worse`.
        """
        return step(self.trained(device), self.front("val"), preference, towards, evaluations)

    def trained(self, device: str | None = None, batchnorm: Batchnorm | None = None) -> Trained:
        """The trained model with what it takes to evaluate it; arguments and errors as of `evaluate`."""
        reference = self.front("val").reference
        spec = self.spec
        if device is not None:
            training = attrs.evolve(cast(Any, spec.training), device=device)
            spec = cast(Spec, attrs.evolve(cast(Any, spec), training=training))
        return Trained.of(spec, self.model(), reference, batchnorm)
