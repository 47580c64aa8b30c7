"""The trials of a study on disk, and what is tried next. The one place that knows Optuna."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from moframework.errors import MoframeworkError
from moframework.seeding import derive_seed
from moframework.tuning.ranges import Range
from moframework.tuning.spec import Pruning, Search
from moframework.tuning.trial import State, Trial

try:
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
    from optuna.trial import FrozenTrial, TrialState
except ModuleNotFoundError as missing:
    raise MoframeworkError("tuning needs optuna, which is not installed: pip install 'moframework[tune]'") from missing

__all__ = ["JOURNAL", "Journal"]

JOURNAL = "journal.log"

_NAME = "study"
_SAMPLING, _IMPORTANCE = 41, 42  # purposes of seeds
_FEWEST = 4  # finished trials from which importances are estimated


class Journal:
    """The journal of one study: Optuna's, a file of lines that only grows. Several processes may use it at once.

    What is tried in a trial follows from the seed, its number, and what is known of the trials before.

    Args:
        folder: of the study; the file in it is made where there is none.
        search: of the study; None where trials are only read, or told of, by whoever does not choose.
    """

    def __init__(self, folder: Path, search: Search | None = None) -> None:
        self._search, path = search, folder / JOURNAL
        with _quiet():
            self._storage = JournalStorage(JournalFileBackend(str(path), lock_obj=_FileLock(path)))
            self._study = optuna.create_study(
                storage=self._storage, study_name=_NAME, direction="maximize", load_if_exists=True,
                sampler=optuna.samplers.RandomSampler(seed=0),
            )  # fmt: skip

    # --- of the study ---

    def note(self, **facts: Any) -> None:
        """Keep facts of the study: plain data."""
        for key, value in facts.items():
            self._study.set_user_attr(key, value)

    @property
    def facts(self) -> dict[str, Any]:
        """What `note` kept."""
        return dict(self._study.user_attrs)

    def trials(self, ranges: Mapping[str, Range]) -> list[Trial]:
        """All trials that have begun, by number."""
        found = self._study.get_trials(deepcopy=False)
        return [_trial(one, ranges) for one in found if one.state != TrialState.WAITING]

    # --- one trial after the other ---

    def try_first(self, choice: Mapping[str, Any]) -> None:
        """Let the spec's own values be those of the first trial, unless there are trials."""
        assert self._search is not None
        if not self._study.get_trials(deepcopy=False):
            own = {key: _coded(value, self._search.ranges[key]) for key, value in choice.items()}
            self._study.enqueue_trial(own, user_attrs={"own": True})

    def begin(self) -> int:
        """Begin a trial; its number."""
        assert self._search is not None
        known = self._study.get_trials(deepcopy=False)
        number = next((one.number for one in known if one.state == TrialState.WAITING), len(known))
        with _quiet():
            self._study.sampler = _sampler(self._search, number)
            begun = self._study.ask({key: _distribution(one) for key, one in self._search.ranges.items()})
        assert begun.number == number
        return number

    def end(self, number: int, state: State, hypervolume: float | None = None, message: str | None = None) -> None:
        """Say how a trial ended."""
        self.tell_of(number, state=state, message=message)
        ends = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
        with _quiet():
            self._study.tell(number, hypervolume if state == "done" else None, ends.get(state, TrialState.FAIL))

    # --- from within a trial ---

    def tell_of(self, number: int, **facts: Any) -> None:
        """Keep facts of a trial that has not ended."""
        for key, value in facts.items():
            self._storage.set_trial_user_attr(self._id(number), key, value)

    def facts_of(self, number: int) -> dict[str, Any]:
        """What `tell_of` kept."""
        return dict(self._storage.get_trial(self._id(number)).user_attrs)

    def report(self, number: int, epoch: int, hypervolume: float) -> None:
        """Keep a validation, unless that of the epoch is kept already."""
        identity = self._id(number)
        if epoch not in self._storage.get_trial(identity).intermediate_values:
            self._storage.set_trial_intermediate_value(identity, epoch, hypervolume)

    def validations(self, number: int) -> dict[int, float]:
        """What `report` kept, by epoch."""
        return dict(self._storage.get_trial(self._id(number)).intermediate_values)

    def is_behind(self, number: int, pruning: Pruning) -> bool:
        """Whether a trial is to be pruned after what was reported last."""
        # Its steps count from 0, epochs from 1: it prunes from the step on that it is given as the end of the warmup.
        pruner = optuna.pruners.PercentilePruner(
            100 * pruning.keep, n_startup_trials=pruning.startup, n_warmup_steps=pruning.warmup + 1
        )
        with _quiet():
            return bool(pruner.prune(self._study, self._storage.get_trial(self._id(number))))

    def _id(self, number: int) -> int:
        study = self._storage.get_study_id_from_name(_NAME)
        return self._storage.get_trial_id_from_study_id_trial_number(study, number)

    # --- afterwards ---

    def importances(self, seed: int) -> dict[str, float] | None:
        """The share of each key in how the hypervolumes of the trials that are done differ, by functional analysis of
        variance (Hutter, Hoos, Leyton-Brown, ICML 2014), largest first; None of fewer than four, or where all are
        equal."""
        done = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(done) < _FEWEST or len({one.value for one in done}) == 1:
            return None
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=derive_seed(seed, _IMPORTANCE, 0) % 2**32)
        with _quiet():
            found = optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        return {key: float(value) for key, value in found.items()}


def _sampler(search: Search, number: int) -> optuna.samplers.BaseSampler:
    """What chooses the values of a trial: anew for each, so that an interrupted study goes on as if it had not been."""
    seed = derive_seed(search.seed, _SAMPLING, number) % 2**32
    if search.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(n_startup_trials=search.startup, seed=seed)


def _distribution(one: Range) -> BaseDistribution:
    if one.choices is not None:
        return CategoricalDistribution([_coded(value, one) for value in one.choices])
    low, high = one.ends
    made = IntDistribution if one.kind in ("integers", "log_integers") else FloatDistribution
    return made(low, high, log=one.kind in ("log", "log_integers"))


def _coded(value: Any, one: Range) -> Any:
    """A value as Optuna has it: choices of any kind as JSON."""
    return value if one.choices is None else json.dumps(value, sort_keys=True)


def _trial(found: FrozenTrial, ranges: Mapping[str, Range]) -> Trial:
    facts = found.user_attrs
    choice = {
        key: json.loads(value) if ranges[key].choices is not None else value for key, value in found.params.items()
    }
    return Trial(
        number=found.number,
        choice={key: choice[key] for key in ranges if key in choice},
        state="unfinished" if found.state == TrialState.RUNNING else facts.get("state", "failed"),
        hypervolume=found.value if found.state == TrialState.COMPLETE else None,
        validations=dict(found.intermediate_values),
        message=facts.get("message"),
        seconds=facts.get("seconds", 0.0),
        processor_seconds=facts.get("processor_seconds", 0.0),
        is_own=facts.get("own", False),
    )


class _FileLock(JournalFileOpenLock):
    """Holds the journal while a process adds to it. The lock is the kernel's, and ends with its process; what a killed
    one has left of a line, which no reader could go beyond once something follows it, is removed."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path, self._lock = path, filelock.FileLock(path.with_name(f".{path.name}.lock"))

    def acquire(self) -> bool:
        self._lock.acquire()
        data = self._path.read_bytes()
        if not data.endswith(b"\n"):
            with self._path.open("r+b") as file:
                file.truncate(data.rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        self._lock.release()


@contextmanager
def _quiet() -> Iterator[None]:
    """While inside, Optuna says nothing of its own: what it has to say is told by whoever calls."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
