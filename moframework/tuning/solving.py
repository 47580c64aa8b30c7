"""One trial: what its process does, and how it ended, as its folder tells."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from moframework.config import build
from moframework.engine.events import Observer, Progress
from moframework.errors import InterruptedRun, RunError
from moframework.pareto.front import Front
from moframework.run.run import SPEC, Run
from moframework.run.solving import solve
from moframework.solvers.base import Solver
from moframework.spec import load_spec
from moframework.tuning.journal import Journal
from moframework.tuning.spec import Pruning
from moframework.tuning.trial import State

__all__ = ["TRIALS", "Ended", "decisive_hypervolume", "ended", "solve_trial", "trial_folder"]

TRIALS = "trials"
_STOPPED = 130
_LONGEST = 400  # characters of a message
_NOT_FINITE = "NonFiniteLossError: "


def trial_folder(folder: Path, number: int) -> Path:
    """The run folder of a trial, below that of its study: `trials/0007`."""
    return folder / TRIALS / f"{number:04d}"


def solve_trial(folder: Path, *, trust: bool = False) -> None:
    """Solve a trial whose spec lies in its run folder, or go on with it; its study's journal is told of each
    validation, and says whether to stop.

    Args:
        folder: see `trial_folder`.
        trust: as of `solve`; what the spec itself names is always imported.

    Raises:
        InterruptedRun: it was pruned, which the journal knows, or a signal asked to stop.
        MoframeworkError: as `solve` does.
    """
    journal, number = Journal(folder.parents[1]), int(folder.name)
    before = journal.facts_of(number)
    since, processor = time.monotonic(), time.process_time()
    try:
        spec = load_spec(folder / SPEC, trust=True)
        solve(spec, folder, resume=True, observers=(_Validations(journal, number, spec.solver),), trust=trust)
    finally:
        journal.tell_of(
            number,
            seconds=round(before.get("seconds", 0.0) + time.monotonic() - since, 3),
            processor_seconds=round(before.get("processor_seconds", 0.0) + time.process_time() - processor, 3),
        )


class _Validations(Observer):
    """Tells the journal of each validation but the last, and ends the training where the trial is to be pruned."""

    def __init__(self, journal: Journal, number: int, solver: Solver) -> None:
        self.journal, self.number, self.solver = journal, number, solver
        facts = journal.facts
        self.by, given = facts["by"], facts["pruning"]
        self.pruning = None if given is None else build(Pruning, given)

    def evaluated(self, progress: Progress, front: Front, *, hypervolume: float, is_best: bool) -> None:
        """A validation."""
        if progress.step >= progress.steps:
            return
        value, epoch = decisive_hypervolume(front, self.solver, self.by), round(progress.epoch)
        if value is None or not math.isfinite(value):
            return
        self.journal.report(self.number, epoch, value)
        if self.pruning is not None and self.journal.is_behind(self.number, self.pruning):
            why = (
                f"after epoch {epoch}: its best, {max(self.journal.validations(self.number).values()):.4f}, is not "
                f"among the best {100 * self.pruning.keep:g} % of earlier trials there"
            )
            self.journal.tell_of(self.number, pruned=why)
            raise InterruptedRun(f"pruned {why}")


def decisive_hypervolume(front: Front, solver: Solver, by: str) -> float | None:
    """The hypervolume that decides: of a front on validation; of single-task networks that of the one point that they
    make together. None where the front has none of that name.

    Raises:
        ValueError: the front is of another split: the test split chooses nothing.
    """
    if front.split != "val":
        raise ValueError(f"a front on validation decides, but this one is on {front.split}")
    own = front.of_vertices() if type(solver).single_task else front
    found = own.hypervolumes().get(by)
    return None if found is None else float(found["value"])


@frozen(kw_only=True)
class Ended:
    """How a trial ended."""

    state: State
    hypervolume: float | None = None
    message: str | None = None


def ended(folder: Path, facts: Mapping[str, Any], solver: Solver, by: str, code: int, said: str) -> Ended:
    """How a trial ended whose process is no more.

    Args:
        folder: of its run.
        facts: that the journal has of it.
        solver: of its spec.
        by: the hypervolume that decides.
        code: of its process, negative for a signal.
        said: by its process.
    """
    summary = _summary(folder)
    if summary.get("status") == "done":
        value = decisive_hypervolume(Run(folder).front("val"), solver, by)
        if value is None or not math.isfinite(value):
            return Ended(state="nonfinite", message=f"its validation front has no finite hypervolume of {by}")
        return Ended(state="done", hypervolume=value)
    if "pruned" in facts:
        return Ended(state="pruned", message=str(facts["pruned"]))
    message = str(summary.get("message", "")) if summary.get("status") == "failed" else ""
    if message.startswith(_NOT_FINITE):
        return Ended(state="nonfinite", message=_short(message.removeprefix(_NOT_FINITE)))
    if code < 0:
        name = signal.Signals(-code).name
        message = f"killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
    elif code == _STOPPED:
        message = "its process was asked to stop"
    return Ended(state="failed", message=_short(message or said or f"exit code {code}"))


def _summary(folder: Path) -> dict[str, Any]:
    """What its `status.json` says; nothing where there is none that can be read."""
    try:
        return Run(folder).summary()
    except RunError:
        return {}


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
