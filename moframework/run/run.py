"""`Run`: a run directory as an object, to be read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from moframework.backbones.given import GivenBackbone
from moframework.blackbox import EvaluationLog, Evaluations
from moframework.config import Trust
from moframework.data import Dataset, Split
from moframework.errors import DamagedFileError, NewerFormatError, RequestError, RunError
from moframework.export import Exported
from moframework.io.lock import is_held
from moframework.io.missing_part import ENVIRONMENT
from moframework.io.paths import nearest_folder
from moframework.io.sealed import read_json, read_sealed_yaml
from moframework.model import ParetoModel
from moframework.model.io import verify_model
from moframework.model.operating_point import PreferenceLike
from moframework.pareto.front import Front
from moframework.pareto.rules import Rule
from moframework.predicting import Predictions, Preparation, Unseen
from moframework.run.evaluating import Batchnorm, Began, Trained, new_data, preferences_for
from moframework.run.exporting import Exporting
from moframework.run.html import run_html
from moframework.run.picking import Pick, pick, pick_evaluated, rule_of, step
from moframework.run.resuming import resume_command
from moframework.run.saved_statistics import saved_statistics_note
from moframework.run.simplex_search import EVALUATIONS
from moframework.spec import Spec, load_spec

__all__ = [
    "CHECKPOINTS",
    "DATA",
    "ENVIRONMENT",
    "HISTORY",
    "JOURNAL",
    "LOG",
    "MODEL",
    "REPORT",
    "SPEC",
    "STATUS",
    "Run",
    "load",
    "nearest_run",
]

SPEC, STATUS, LOG = "spec.yaml", "status.json", "log.txt"
CHECKPOINTS, MODEL, DATA = "checkpoints", "model", "data.json"
HISTORY, REPORT = "history.json", "report.json"
JOURNAL = "evaluations.jsonl"


class Run:
    """A run directory.

    Args:
        path: of the folder.
        trust: where the run's spec or model names code (`python: ./mine.py:Mine`), neither is loaded unless True says
            that this code may be run, or a list has the classes and functions that are named. A process that has
            imported them already, as the one that solved the run has, needs neither.

    Raises:
        RequestError: `path` is not a run; the text names the nearest one.

    >>> from moframework import solve
    >>> spec = {"problem": "quadratics", "solver": "pamal", "training": {"epochs": 1}, "log": []}
    >>> run = Run(solve(spec, "runs/toy").path)
    >>> run.front("test").losses.shape
    (11, 2)
    >>> network = run.model().at([0.3, 0.7])
    >>> sum(p.numel() for p in network.parameters())  # the two variables of the problem
    2
    """

    def __init__(self, path: Path | str, *, trust: Trust = False) -> None:
        self.path = Path(path)
        self.trust = trust
        self._kept: tuple[tuple[str, int], ParetoModel] | None = None
        if not (self.path / SPEC).is_file():
            near = nearest_run(self.path)
            hint = f" Did you mean {near}?" if near else ""
            why = f"it has no {SPEC}" if self.path.exists() else "there is no such folder"
            raise RequestError(f"{self.path} is not a run folder: {why}.{hint} `moframework solve` makes one.")

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """What a notebook shows: how the run ended, what it took, and its test front."""
        front: Front | RunError
        summary: dict[str, Any] = {}
        try:
            summary, front = self.summary(), self.front()
        except RunError as error:
            front = error
        return run_html(self.path, self.status, summary, front)

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

    def evaluations(self) -> Evaluations:
        """All evaluations of a run whose solver searches a function, in their order, also those that failed; of a run
        that goes on, those so far.

        Raises:
            RunError: the solver trains, and evaluates no function.
            DamagedFileError: a line of the journal has changed.

        Example::

            known = Run("runs/beam").evaluations()
            best = known.x[known.front()]  # the non-dominated points, (k, n)
        """
        spec = self.spec
        if not type(spec.solver).searches:
            raise RunError(
                f"{self.path} searched no function: its solver is {type(spec.solver).__name__}, which trains"
            )
        return EvaluationLog(self.path / JOURNAL, len(spec.problem.tasks)).evaluations

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
            swapped = f"It is {self.path} that has them: moframework front {single.path} --against {self.path}"
            solve_it = "Solve the same problem with solver: stl"
            raise RequestError(
                f"{single.path} is no run of single-task networks, which Δm refers to: its solver is "
                f"{type(other.solver).__name__}. {swapped if type(one.solver).single_task else solve_it}; or compare "
                f"the two fronts as they are: moframework report {self.path} {single.path}"
            )
        if one.problem != other.problem:
            raise RequestError(f"{single.path} solves another problem than {self.path}, or with other options of it")
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

    def at(
        self,
        preference: PreferenceLike,
        *,
        calibrate: Iterable[Any] | None = None,
        device: torch.device | str = "cpu",
    ) -> nn.Module:
        """The trained network at one preference, a plain module; see `ParetoModel.at`. Errors as of `model`.

        Example::

            network = moframework.load("runs/quickstart").at([0.3, 0.7])
        """
        return self._used(device).at(preference, calibrate=calibrate)

    def predict(
        self,
        raw: Any,
        preference: PreferenceLike,
        *,
        unseen: Unseen = "refuse",
        keep: Sequence[str] = (),
        device: torch.device | str = "cpu",
    ) -> Predictions:
        """What the trained model says of raw data at one preference; see `ParetoModel.predict`. The model is read once,
        and again when its file has changed.

        Raises:
            RunError: as `model`; or it is not known how raw data becomes inputs.
            DataError: raw data cannot be read, or not as in training.
        """
        model = self._used(device)
        found = model.predict(raw, preference, unseen=unseen, keep=keep)
        told = saved_statistics_note(self.path / SPEC, model)
        return found if told is None else attrs.evolve(found, notes=(told, *found.notes))

    def _used(self, device: torch.device | str) -> ParetoModel:
        """The model as `model` gives it, kept for the next call."""
        file = self.path / MODEL / "model.safetensors"
        version = (str(device), file.stat().st_mtime_ns if file.is_file() else 0)
        if self._kept is None or self._kept[0] != version:
            self._kept = (version, self.model(device))
        return self._kept[1]

    def evaluate(
        self,
        points: int | None = None,
        preferences: Sequence[PreferenceLike] | None = None,
        split: Split | None = None,
        *,
        data: Dataset | Path | str | None = None,
        unseen: Unseen = "refuse",
        batchnorm: Batchnorm | None = None,
        device: str | None = None,
        metrics: bool = True,
    ) -> Front:
        """The front of the saved model at any preferences, evaluated as at the end of the run; nothing is written.

        Args:
            points: an even set of so many preferences: 21 are steps of 0.05 for two tasks.
            preferences: or these, rows of m non-negative numbers, scaled to sum to 1. Without both those that the
                run's own fronts have. The solver of a finite set has its own alone.
            split: of the problem's data, `test` by default; of the front of other `data` only the name, which is that
                of the file by default.
            data: other samples than the problem's: a data set whose inputs and targets are as those of the problem, or
                a file that is laid out as the problem's own, all of whose samples are read: a table, as `csv` reads it
                (or .parquet), of `images` a folder with images and table, an .npz file. It is read by what was saved
                with the model; the files that were trained on need not be there.
            unseen: what becomes of categories in it that training never saw: an error, or `missing`, as in validation.
            batchnorm: in place of the run's `evaluate.batchnorm`.
            device: in place of the run's `training.device`.
            metrics: the tasks' metrics too, not only the losses.

        Returns:
            a front with the reference point of the run.

        Raises:
            RunError: the run has not finished, a preference cannot be used, or the file cannot stand for the data.
            SpecError: the spec names code that is not trusted, or another device is needed.
            DataError: the data is missing, or has changed since the training.

        Example::

            front = Run("runs/quickstart").evaluate(points=101)
        """
        trained = self.trained(device, batchnorm, as_saved=isinstance(data, Path | str))
        wanted = preferences_for(trained.model, self.front("val").preferences, points, preferences)
        if data is None:
            return trained.front(wanted, split or "test", metrics=metrics)
        if not isinstance(data, Path | str):
            return trained.front_on(data, wanted, split or "data", metrics=metrics)
        samples = new_data(trained.problem, Path(data), unseen)
        return trained.front_on(samples, wanted, split or Path(data).name, metrics=metrics)

    def pick(
        self,
        where: str | Sequence[str] = (),
        *,
        maximize: str | None = None,
        minimize: str | None = None,
        rule: Rule | str | None = None,
        evaluations: int = EVALUATIONS,
        batchnorm: Batchnorm | None = None,
        device: str | None = None,
    ) -> Pick:
        """The operating point that serves best, found by asking the model: the validation split chooses, and what the
        test split says of the point is told.

        For a solver of the whole front the simplex is searched, beginning with the run's validation front; of a finite
        set one of its own points is chosen, and of a search one of its evaluations, so that none is spent. Nothing is
        written.

        Args:
            where: conditions on columns, all of which must hold: `"left/accuracy >= 0.95"`, `"left/loss = 0.3 ± 0.01"`;
                see `Condition.read`.
            maximize, minimize: the column that decides.
            rule: or another rule: `compromise`, `knee`, `tradeoff`, or one of `moframework.pareto.rules`, such as
                `Nearest({"left/loss": 0.2})`. Without any, the compromise.
            evaluations: preferences that are evaluated at most.
            batchnorm: in place of the run's `evaluate.batchnorm`: `recalibrate` judges each point by statistics of its
                own. The points of the stored front are evaluated anew then.
            device: in place of the run's `training.device`.

        Raises:
            RunError: a name, a condition or a rule is wrong; as `NothingSatisfiesError`, which says the nearest miss,
                where no point meets all conditions. Else as `evaluate`.

        Example::

            found = Run("runs/quickstart").pick("left/accuracy >= 0.85", maximize="right/accuracy")
            found.preference, found.test["right/accuracy"], found.intervals["test"]["right/accuracy"]
        """
        chosen = rule_of(self.front("val"), maximize, minimize, rule)
        if type(self.spec.solver).searches:
            known = self.evaluations()
            return pick_evaluated(self.front("val"), known.x[known.front()], where, chosen)
        trained = self.trained(device, batchnorm)
        return pick(trained, self._begun(trained, batchnorm), where, chosen, evaluations)

    def step(
        self,
        preference: PreferenceLike,
        towards: str,
        *,
        evaluations: int = EVALUATIONS,
        batchnorm: Batchnorm | None = None,
        device: str | None = None,
    ) -> Pick:
        """The next point along the front at which something is better: see `run.picking.step`. Errors as of `pick`.

        Args:
            preference: where the step begins, m non-negative numbers.
            towards: `right=better`, `right/loss=worse`.
        """
        if type(self.spec.solver).searches:
            raise RequestError(
                "a step evaluates preferences, and each is an evaluation of the function; pick among those that were "
                "made: --where, --minimize"
            )
        trained = self.trained(device, batchnorm)
        return step(trained, self._begun(trained, batchnorm), preference, towards, evaluations)

    def export(
        self,
        to: Path | str,
        preference: PreferenceLike | Pick | None = None,
        *,
        mixed: bool = False,
        overwrite: bool = False,
        device: str | None = None,
    ) -> Exported:
        """Write the model as a file that is used without moframework, beside it a model card and how raw data becomes
        inputs and outputs become answers. See the page docs/exporting.md.

        What was written is read back and compared with the model before it takes its place; else nothing is left.

        Args:
            to: its end says the form: `.safetensors`, `.pt2` (torch.export), `.onnx`; a folder is for adapters of PEFT.
            preference: the operating point to export, m non-negative numbers, or what `pick` has chosen: then the model
                card says by which conditions and rule. None for the dial: λ is an input.
            mixed: with the dial, λ is one for each sample of a batch.
            overwrite: replace what an earlier export has written there.
            device: where the point is evaluated, in place of the run's `training.device`.

        Returns:
            the files, and what is worth knowing.

        Raises:
            RunError: the run has not finished or is being solved, there is no such form or not of this model, a package
                is missing, a file exists, or what was written computes something else.
            SpecError: the spec names code that is not trusted, or another device is needed.

        Example::

            Run("runs/quickstart").export("digits.onnx")                     # λ is an input
            Run("runs/quickstart").export("digits.safetensors", [0.3, 0.7])  # a plain network
            Run("runs/quickstart").export("best.pt2", Run("runs/quickstart").pick("left/loss <= 1"))
        """
        run = Exporting(
            folder=self.path,
            files={"spec": SPEC, "weights": f"{MODEL}/model.safetensors", "environment": ENVIRONMENT, "data": DATA},
            spec=self.spec,
            model=self.model(),
            fronts={"val": self.front("val"), "test": self.front("test")},
            trained=lambda: self.trained(device),
        )
        return run.export(Path(to), preference, mixed=mixed, overwrite=overwrite)

    def _begun(self, trained: Trained, batchnorm: Batchnorm | None) -> Front:
        """The validation front that a search begins with: the stored one, where that is of the same statistics."""
        stored = self.front("val")
        if batchnorm is None or batchnorm == self.spec.evaluate.batchnorm:
            return stored
        return trained.front(torch.tensor(stored.preferences, dtype=torch.float32), "val")

    def trained(
        self, device: str | None = None, batchnorm: Batchnorm | None = None, *, as_saved: bool = False
    ) -> Trained:
        """The trained model with what it takes to evaluate it; arguments and errors as of `evaluate`.

        Args:
            as_saved: what the problem takes from its training data is what was saved with the model.
        """
        reference = self.front("val").reference
        spec = self.spec
        if device is not None:
            training = attrs.evolve(cast(Any, spec.training), device=device)
            spec = cast(Spec, attrs.evolve(cast(Any, spec), training=training))
        model = self.model()
        if as_saved and isinstance(model.preparation, Preparation):
            prepared = spec.problem.prepared(model.preparation)
            spec = cast(Spec, attrs.evolve(cast(Any, spec), problem=prepared))
        return Trained.of(spec, model, reference, batchnorm, Began(self.path / DATA, self.front))


def load(run: Path | str | Run, *, trust: Trust = False) -> Run:
    """A finished run, ready to use: a `Run` whose model is read already.

    `front` has what was evaluated, `evaluate` any other preference; `pick` finds an operating point, `at` gives the
    plain network there, and `predict` what it says of raw data.

    Args:
        run: the folder.
        trust: as of `Run`.

    Raises:
        RunError: it is not a run, has not finished, is damaged, or names code that is not trusted.

    >>> from moframework import solve
    >>> spec = {"problem": "quadratics", "solver": "pamal", "training": {"epochs": 1}, "log": []}
    >>> run = load(solve(spec, "runs/another").path)
    >>> point = run.pick("f1/loss <= 9", minimize="f2/loss")
    >>> point.conditions, point.rule
    (('f1/loss <= 9',), 'smallest f2/loss')
    >>> network = run.at(point.preference)
    """
    found = run if isinstance(run, Run) else Run(run, trust=trust)
    found.front()
    found._used("cpu")
    return found


def nearest_run(path: Path) -> Path | None:
    """The run folder that may be meant by `path`: see `nearest_folder`."""
    return nearest_folder(path, lambda folder: (folder / SPEC).is_file())
