"""`tune`: the trials that are missing of a study, then what they have found."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import overload

from attrs import define, field

from moframework.benchmark.spec import slug
from moframework.config import unstructure
from moframework.errors import InterruptedRun, MoframeworkError, SpecError
from moframework.io.lock import LOCK, FolderLock, is_held
from moframework.io.sealed import write_sealed_yaml
from moframework.run.plan import Plan, plan
from moframework.run.reference import reference_of
from moframework.run.run import SPEC
from moframework.run.signals import StopRequest, stop_signals
from moframework.tuning.journal import Journal
from moframework.tuning.loading import contender_study, own_choice, trial_spec
from moframework.tuning.processes import Begin, TrialProcess, Workers, processes
from moframework.tuning.results import ContestResults, StudyResults
from moframework.tuning.saving import save, save_contest
from moframework.tuning.solving import ended, trial_folder
from moframework.tuning.spec import Contest, Study
from moframework.tuning.stored import STUDY, check_same, write_study
from moframework.tuning.trial import Trial
from moframework.tuning.watching import Watcher

__all__ = ["default_folder", "tune"]

_PAUSE = 0.05  # seconds between two looks at the processes
_GRACE = 60.0  # seconds that trials have to save and end
_STOPPED = 130
LOSSES = "losses"


@overload
def tune(study: Study, out: Path | str | None = ..., *, watcher: Watcher | None = ..., trust: bool = ...,
         workers: Workers = ...) -> StudyResults: ...  # fmt: skip
@overload
def tune(study: Contest, out: Path | str | None = ..., *, watcher: Watcher | None = ..., trust: bool = ...,
         workers: Workers = ...) -> ContestResults: ...  # fmt: skip
def tune(
    study: Study | Contest,
    out: Path | str | None = None,
    *,
    watcher: Watcher | None = None,
    trust: bool = False,
    workers: Workers = processes,
) -> StudyResults | ContestResults:
    """Run what is missing of a study, and write what was found.

    Trials that are there are not run again; one that was interrupted goes on where it was. What is written into `out`:
    `study.yaml` (expanded), `journal.log` (Optuna's), `trials/` (a run folder each, and its log), and the results: see
    `saving.save`. Of a benchmark there is such a folder for each contender on each problem.

    Args:
        study: see `load_study`.
        out: its folder; by default `runs/tune-NAME`. The same folder again goes on.
        watcher: told about progress.
        trust: whether trials may import code that the run named by `solver.initial` names; the spec's own is always
            imported.
        workers: what begins trials; by default processes on this machine.

    Raises:
        SpecError, DataError: before the first trial.
        RunError: `out` holds another study, or another process tunes there.
        InterruptedRun: asked to stop by SIGINT or SIGTERM; running trials were saved, and the results of those that
            are done are written.
    """
    folder = Path(out) if out is not None else default_folder(study)
    watcher = Watcher() if watcher is None else watcher
    if isinstance(study, Study):
        return _Tuning(study, folder, watcher, trust, workers).run()
    return _tune_contest(study, folder, watcher, trust, workers)


def default_folder(study: Study | Contest) -> Path:
    """Where a study lies unless told otherwise: `runs/tune-NAME`, so that the same command goes on."""
    return Path("runs") / f"tune-{study.name or 'unnamed'}"


def _tune_contest(contest: Contest, folder: Path, watcher: Watcher, trust: bool, workers: Workers) -> ContestResults:
    """Tune each contender on each problem, one after the other, all prepared before the first trial."""
    parts: dict[tuple[int, int], _Tuning] = {}
    for problem, solver in itertools.product(range(len(contest.problems)), range(len(contest.solvers))):
        titles = contest.problems[problem].title, contest.solvers[solver].title
        if contest.tune.of(titles[1]):
            place = folder / slug(titles[0]) / slug(titles[1])
            study = contender_study(contest, problem, solver)
            parts[problem, solver] = _Tuning(study, place, watcher, trust, workers)
    for (problem, solver), part in parts.items():
        try:
            part.prepare()
        except SpecError as error:
            raise SpecError(f"problems.{problem}, solvers.{solver}: {error}") from error
    found = ContestResults(contest=contest, folder=folder, studies={pair: part.run() for pair, part in parts.items()})
    save_contest(found)
    return found


@define
class _Tuning:
    """One study in its folder."""

    study: Study
    folder: Path
    watcher: Watcher
    trust: bool
    workers: Workers
    running: dict[int, TrialProcess] = field(factory=dict)
    waiting: list[int] = field(factory=list)
    """Trials that were left behind, which go on first."""
    since: float = 0.0

    def prepare(self) -> None:
        """Check all that can be known before the first trial, and settle the reference point. Where something is wrong
        nothing is left."""
        with self._held():
            self._prepare()

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Hold the folder, which is made, and is removed again where nothing was written into it."""
        check_same(self.study, self.folder)
        made = not self.folder.exists()
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FolderLock(self.folder, "tuned"):
                yield
        finally:
            if made and not (self.folder / STUDY).is_file():
                (self.folder / LOCK).unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    self.folder.rmdir()

    def _prepare(self) -> None:
        tuning = self.study.tune
        if (self.folder / STUDY).is_file() and "reference" in self.journal.facts:
            write_study(self.study, self.folder)
            return
        ready = plan(trial_spec(self.study, {}, None, "study"), trust=self.trust)
        self._check(ready)
        reference, (own, outside) = reference_of(ready), own_choice(self.study)
        write_study(self.study, self.folder)
        journal = self.journal
        if not outside:
            journal.try_first(own)
        pruning = None if tuning.pruning is None else unstructure(tuning.pruning)
        journal.note(by=tuning.by, pruning=pruning, reference=list(reference))

    def _check(self, ready: Plan) -> None:
        """Refuse what the spec alone does not show."""
        tuning, spec = self.study.tune, ready.spec
        every = spec.evaluate.every
        if tuning.pruning is not None and (not every or ready.steps <= every * ready.per_epoch):
            raise SpecError(
                f"tune.pruning: there are no validations to prune by: a trial has {ready.steps:,} steps, an epoch "
                f"{ready.per_epoch:,}, and evaluate.every is {every}. Validate more often, or leave pruning out"
            )
        labels = [{metric.label for metric in task.metrics} for task in spec.problem.tasks]
        have = [LOSSES, *sorted(set.intersection(*labels))]
        if tuning.by not in have:
            raise SpecError(f"tune.by: there is no hypervolume '{tuning.by}'; allowed: {', '.join(have)}")

    @property
    def journal(self) -> Journal:
        """A new reader of the journal."""
        return Journal(self.folder, self.study.tune)

    def run(self) -> StudyResults:
        """Run what is missing, then write the results; also where a stop was asked for."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._held())
            self._prepare()
            stop = stack.enter_context(stop_signals())
            journal = self.journal
            self.waiting = [one.number for one in journal.trials(self.study.tune.ranges) if one.state == "unfinished"]
            self.since = time.monotonic() - journal.facts.get("seconds", 0.0)
            begun = self._begun(journal)
            self.watcher.planned(self.study, begun)
            if self.waiting or self._has_budget(journal):
                begin = stack.enter_context(self.workers(self.study.tune.jobs, self.trust))
                self._run(journal, begin, stop)
            found = self._results(journal)
            save(found)
            if stop():
                done = len(found.trials) - found.counts.get("unfinished", 0)
                raise InterruptedRun(
                    f"stopped: {done} of {self.study.tune.trials} trials of {self.folder} have ended. The same command "
                    "goes on."
                )
        return found

    def _run(self, journal: Journal, begin: Begin, stop: StopRequest) -> None:
        asked: float | None = None
        while True:
            if stop() and asked is None:
                asked = time.monotonic()
                for process in self.running.values():
                    process.terminate()
            if asked is None:
                self._fill(journal, begin)
            elif time.monotonic() > asked + _GRACE:
                for process in self.running.values():
                    process.kill()
            if not self.running and (asked is not None or not self.waiting):
                return
            codes = {number: process.poll() for number, process in self.running.items()}
            over = [(number, code) for number, code in codes.items() if code is not None]
            for number, code in over:
                self._end(journal, number, code, stopping=stop())
            if not over:
                time.sleep(_PAUSE)

    def _fill(self, journal: Journal, begin: Begin) -> None:
        """Begin as many trials as there is room and budget for."""
        for number in list(self.waiting):
            if len(self.running) >= self.study.tune.jobs:
                return
            if not is_held(trial_folder(self.folder, number)):  # by a process that a killed study has left
                self.waiting.remove(number)
                self._begin(journal, begin, number)
        while len(self.running) < self.study.tune.jobs and not self.waiting and self._has_budget(journal):
            self._begin(journal, begin, journal.begin())

    def _has_budget(self, journal: Journal) -> bool:
        tuning = self.study.tune
        trials = journal.trials(tuning.ranges)
        if len(trials) >= tuning.trials:
            return False
        if tuning.seconds is not None and time.monotonic() - self.since >= tuning.seconds:
            return False
        spent = sum(one.processor_seconds for one in trials)
        return tuning.processor_seconds is None or spent < tuning.processor_seconds

    def _begin(self, journal: Journal, begin: Begin, number: int) -> None:
        """Write a trial's spec, unless it is there, and begin it; one whose spec cannot be made has failed."""
        trial = self._trial(journal, number)
        folder = trial_folder(self.folder, number)
        try:
            if set(trial.choice) != set(self.study.tune.ranges):
                raise SpecError("it was interrupted before its values were chosen")
            spec = trial_spec(self.study, trial.choice, journal.facts["reference"], f"{self.study.name}-{number:04d}")
        except MoframeworkError as error:
            journal.end(number, "failed", message=str(error))
            self.watcher.ended(self.study, self._trial(journal, number))
            return
        folder.mkdir(parents=True, exist_ok=True)
        write_sealed_yaml(folder / SPEC, spec.to_yaml())
        self.watcher.started(self.study, trial)
        self.running[number] = begin(folder)

    def _end(self, journal: Journal, number: int, code: int, *, stopping: bool) -> None:
        """Say how a trial ended whose process is no more; one that was asked to stop goes on some day."""
        said = self.running.pop(number).said()
        facts = journal.facts_of(number)
        found = ended(trial_folder(self.folder, number), facts, self.study.solver, self.study.tune.by, code, said)
        if found.state == "failed" and stopping and (code == _STOPPED or code < 0):
            return
        journal.end(number, found.state, found.hypervolume, found.message)
        journal.note(seconds=round(time.monotonic() - self.since, 3))
        self.watcher.ended(self.study, self._trial(journal, number))

    def _trial(self, journal: Journal, number: int) -> Trial:
        return next(one for one in journal.trials(self.study.tune.ranges) if one.number == number)

    def _begun(self, journal: Journal) -> int:
        return len(journal.trials(self.study.tune.ranges))

    def _results(self, journal: Journal) -> StudyResults:
        tuning = self.study.tune
        return StudyResults(
            study=self.study,
            folder=self.folder,
            trials=journal.trials(tuning.ranges),
            reference=tuple(journal.facts["reference"]),
            importances=journal.importances(tuning.seed),
            outside=own_choice(self.study)[1],
        )
