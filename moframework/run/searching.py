"""A search in the place of a training: points are proposed, evaluated and written down one by one, then modeled."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import attrs
import numpy as np
import numpy.typing as npt
import torch
from attrs import field, frozen

from moframework.blackbox import Evaluation, EvaluationLog, Evaluations, Request, Search
from moframework.blackbox.base import latin_hypercube
from moframework.blackbox.placing import preferences_of
from moframework.blame import line_of
from moframework.data import Split
from moframework.engine.events import Observer, Progress
from moframework.engine.fit import UNTRAINED, Fit
from moframework.errors import InterruptedRun, RunError, SpecError, shortened
from moframework.model import ParetoModel
from moframework.pareto.front import Front
from moframework.problem import BoxFunction
from moframework.run.plan import Plan
from moframework.run.resuming import resume_command
from moframework.run.run import JOURNAL
from moframework.run.search_history import write_search_history
from moframework.run.timing import Timing

__all__ = ["Searched", "Searching", "initial_reference", "rehearse_search"]

_MARGIN = 0.1  # of the range of the initial evaluations, that the reference point lies beyond the worst of them
_MADE_UP = 4  # evaluations of a rehearsal
_FEWEST = 2  # evaluations that a search knows at least

Array = npt.NDArray[np.float64]


@frozen(kw_only=True)
class Searched:
    """What a search came to.

    Attributes:
        ready: the plan, with the model of the end.
        fit: the time that choosing points took; no step was taken.
        fronts: the non-dominated evaluations, the same as `val` and `test`, since a function has one value.
        counts: `evaluations` and `failed_evaluations`.
    """

    ready: Plan
    fit: Fit
    fronts: dict[Split, Front]
    counts: dict[str, int]


@frozen(kw_only=True)
class Searching:
    """One search, in a run folder.

    Args:
        ready: the plan of a solver that searches.
        folder: of the run, which holds the journal of evaluations.
        observer: told of each evaluation as a step, and of each batch as an epoch with a validation.
        timing: of the run.
        stop: asked before each evaluation.
    """

    ready: Plan
    folder: Path
    observer: Observer
    timing: Timing
    stop: Callable[[], bool]
    log: EvaluationLog = field(init=False)

    @log.default
    def _opened(self) -> EvaluationLog:
        return EvaluationLog(self.folder / JOURNAL, len(self.ready.spec.problem.tasks))

    @property
    def search(self) -> Search:
        """What chooses points."""
        return cast(Search, self.ready.method.search)

    @property
    def function(self) -> BoxFunction:
        """What is evaluated."""
        return cast(BoxFunction, self.ready.spec.problem.box_function)

    def run(self) -> Searched:
        """Search to the end of the budget, and make the model.

        Raises:
            InterruptedRun: `stop` said so; every evaluation is kept.
            RunError: too many evaluations failed, none or one succeeded, or more are done than the budget has.
            SpecError: the function returns something else than m numbers.
            DamagedFileError: the journal of a run to resume has changed.
        """
        done, total = len(self.log.evaluations), self.search.budget.evaluations
        if done > total:
            raise RunError(
                f"solver.evaluations: {total} is less than the {done} that the run in {self.folder} has done"
            )
        if done:
            self.timing.processes, self.timing.complete = 2, False
        self.observer.started(self._progress())
        while len(self.log.evaluations) < total:
            if not self.log.pending():
                self._ask()
            while self.log.pending():
                self._evaluate()
            self._tell()
        known = self.log.evaluations
        if len(known.values) < _FEWEST:
            raise RunError(f"{len(known.values)} of {total} evaluations succeeded, of which no front can be made")
        searched = self._searched(known)
        self.observer.finished(self._progress())
        return searched

    def _searched(self, known: Evaluations) -> Searched:
        rows = known.front()
        preferences = preferences_of(known.values[rows], known.values)
        with self.timing.phase("proposing"):
            clock = _Clock()
            model = self.search.model(self._request(known, 0), rows, preferences)
            seconds, processor = clock.read()
        fronts: dict[Split, Front] = {split: self._front(known, split) for split in ("val", "test")}
        write_search_history(self.folder, known, fronts["val"])
        spent = np.array(self.log.proposing).reshape(-1, 2).sum(axis=0)
        ready = attrs.evolve(self.ready, model=model, preferences=torch.tensor(preferences, dtype=torch.float32))
        fit = attrs.evolve(
            UNTRAINED, training_seconds=float(spent[0]) + seconds, processor_seconds=float(spent[1]) + processor
        )
        counts = {"evaluations": len(known), "failed_evaluations": known.failed}
        return Searched(ready=ready, fit=fit, fronts=fronts, counts=counts)

    def _ask(self) -> None:
        """Propose the next batch, and write it down."""
        known, budget = self.log.evaluations, self.search.budget
        size = budget.batch if self.log.batches else budget.initial
        request = self._request(known, min(size, budget.evaluations - len(known)))
        with self.timing.phase("proposing"):
            clock = _Clock()
            if len(known.values) < _FEWEST:
                points = latin_hypercube(request.count, self.function.variables, request.generator())
            else:
                points = self.search.propose(request)
            self.log.ask(self.function.from_unit(points), clock.read())

    def _request(self, known: Evaluations, count: int) -> Request:
        return Request(
            function=self.function,
            known=known,
            count=count,
            batch=self.log.batches,
            seed=self.ready.spec.seed,
            reference=self._reference(known),
            recipe=self.ready.model.recipe,
            make=ParetoModel,
        )

    def _evaluate(self) -> None:
        """Evaluate the next point, and write down what it gave."""
        if self.stop():
            done, total = len(self.log.evaluations), self.search.budget.evaluations
            raise InterruptedRun(f"stopped after {done} of {total} evaluations, as asked; every one is kept")
        x, since = np.array(self.log.pending()[0]), time.perf_counter()
        values: Array | None = None
        error: str | None = None
        line = ""
        with self.timing.phase("function"):
            try:
                values = self._checked(self.function.values(x))
            except (InterruptedRun, SpecError):
                raise
            except Exception as failure:  # of anybody's code
                error = shortened(f"{type(failure).__name__}: {' '.join(str(failure).split())}", 300)
                line = line_of(failure)
        if values is not None and not np.isfinite(values).all():
            error, values = f"returned {', '.join(f'{value:g}' for value in values)}", None
        self.log.add(values, error, time.perf_counter() - since)
        if error is not None:
            self._failed(x, f"{error}{line}")
        self.observer.stepped(self._progress())

    def _checked(self, returned: Any) -> Array:
        """What the function returned as m numbers. Raises `SpecError` where it is something else."""
        m = self.function.objectives
        values = np.asarray(returned, dtype=np.float64)
        if values.shape != (m,):
            raise SpecError(
                f"problem.function: must return {m} numbers, one for each objective, but returned an array of shape "
                f"{values.shape}; problem.objectives says how many there are"
            )
        return values

    def _failed(self, x: Array, error: str) -> None:
        """Tell of a failed evaluation. Raises `RunError` where it is one too many."""
        failed, allowed = self.log.evaluations.failed, self.search.budget.failures
        place = ", ".join(f"{value:.6g}" for value in x[:8]) + (", …" if len(x) > 8 else "")
        self.observer.noted(f"evaluation {len(self.log.evaluations)} at x = ({place}) failed: {error}")
        if failed > allowed:
            raise RunError(
                f"{failed} evaluations failed, and solver.failures allows {allowed}; the last: {error}. Those that "
                f"succeeded are kept. Mend the function, or go on with: {resume_command(self.folder)} "
                "--set solver.failures=…"
            )

    def _tell(self) -> None:
        """Tell what the evaluations so far are worth."""
        known = self.log.evaluations
        if len(known.values):
            front = self._front(known, "val")
            self.observer.evaluated(self._progress(), front, hypervolume=front.hypervolume(), is_best=True)

    def _front(self, known: Evaluations, split: Split) -> Front:
        values = known.values[known.front()]
        problem = self.ready.spec.problem
        return Front(
            tasks=tuple(task.name for task in problem.tasks),
            preferences=preferences_of(values, known.values),
            losses=values,
            split=split,
            reference=self._reference(known),
            true_front=problem.true_front,
        )

    def _reference(self, known: Evaluations) -> tuple[float, ...]:
        stated = self.ready.reference
        return initial_reference(known) if stated is None else tuple(stated)

    def _progress(self) -> Progress:
        budget, done = self.search.budget, len(self.log.evaluations)
        batches = 1 + math.ceil((budget.evaluations - budget.initial) / budget.batch)
        return Progress(step=done, steps=budget.evaluations, epoch=float(self.log.batches), epochs=float(batches))


def rehearse_search(ready: Plan) -> None:
    """Propose a point from a few made-up values, on which a search does all that it will do, so that a package that is
    missing or an option that does not fit is told before anything is evaluated."""
    search, function = cast(Search, ready.method.search), cast(BoxFunction, ready.spec.problem.box_function)
    x = function.from_unit(latin_hypercube(_MADE_UP, function.variables, np.random.default_rng(0)))
    values = np.random.default_rng(1).random((_MADE_UP, function.objectives))
    made = [
        Evaluation(batch=0, x=tuple(point), values=tuple(row), error=None, seconds=0.0)
        for point, row in zip(x.tolist(), values.tolist(), strict=True)
    ]
    known = Evaluations(made, function.objectives)
    search.propose(
        Request(
            function=function,
            known=known,
            count=1,
            batch=1,
            seed=ready.spec.seed,
            reference=initial_reference(known),
            recipe=ready.model.recipe,
            make=ParetoModel,
        )
    )


class _Clock:
    """Seconds since it was made, by the clock and of the processor."""

    def __init__(self) -> None:
        self._since = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Both."""
        return time.perf_counter() - self._since[0], time.process_time() - self._since[1]


def initial_reference(known: Evaluations) -> tuple[float, ...]:
    """The reference point where none is stated: the worst of the initial evaluations, and a tenth of their range
    beyond. Where none of these succeeded, of all; ones before there are any."""
    good = [one for one in known if one.values is not None]
    first = [one.values for one in good if one.batch == good[0].batch]
    if not first:
        return ()
    values = np.array(first)
    worst, best = values.max(axis=0), values.min(axis=0)
    return tuple((worst + _MARGIN * np.where(worst > best, worst - best, 1.0)).tolist())
