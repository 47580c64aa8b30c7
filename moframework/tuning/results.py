"""What a study has found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from moframework.tuning.spec import Contest, Study
from moframework.tuning.trial import State, Trial

__all__ = ["ContestResults", "StudyResults"]


@frozen(kw_only=True)
class StudyResults:
    """Trials of a study, the best of them, and what mattered."""

    study: Study
    folder: Path
    trials: Sequence[Trial]
    reference: tuple[float, ...]
    """Reference point of the loss hypervolume of all trials."""
    importances: Mapping[str, float] | None
    """See `Journal.importances`."""
    outside: Sequence[str]
    """Keys whose ranges do not hold the spec's own values, so that these were not tried."""

    def __repr__(self) -> str:
        done = sum(one.hypervolume is not None for one in self.trials)
        return f"StudyResults(study={self.study.name!r}, trials={len(self.trials)}, done={done})"

    def __str__(self) -> str:
        if self.best is None:
            return repr(self)
        lines = [repr(self), f"  best: trial {self.best.number}, validation hypervolume {self.best.hypervolume:.4f}"]
        return "\n".join([*lines, *(f"  {key}: {value}" for key, value in self.best.choice.items())])

    @property
    def best(self) -> Trial | None:
        """The trial with the largest hypervolume; of equal ones the first; None while none is done."""
        done = [one for one in self.trials if one.hypervolume is not None]
        return max(done, key=lambda one: (one.hypervolume or 0.0, -one.number)) if done else None

    @property
    def own(self) -> Trial | None:
        """The trial of the spec's own values, where it is done."""
        return next((one for one in self.trials if one.is_own and one.hypervolume is not None), None)

    @property
    def counts(self) -> dict[State, int]:
        """How many trials ended in which way."""
        return dict(Counter(one.state for one in self.trials))

    @property
    def at_edge(self) -> tuple[str, ...]:
        """Keys whose best value lies at an end of its range."""
        if self.best is None:
            return ()
        return tuple(key for key, value in self.best.choice.items() if self.study.tune.ranges[key].at_edge(value))

    @property
    def seconds(self) -> float:
        """Of all trials."""
        return sum(one.seconds for one in self.trials)

    @property
    def processor_seconds(self) -> float:
        """Of all trials."""
        return sum(one.processor_seconds for one in self.trials)


@frozen(kw_only=True)
class ContestResults:
    """What was found for each contender of a benchmark on each problem."""

    contest: Contest
    folder: Path
    studies: Mapping[tuple[int, int], StudyResults]
    """By the positions of problem and solver."""

    def __repr__(self) -> str:
        return f"ContestResults(contest={self.contest.name!r}, studies={len(self.studies)})"

    def __str__(self) -> str:
        return "\n".join([repr(self), *map(str, self.studies.values())])

    def chosen(self, problem: int, solver: int) -> Mapping[str, Any] | None:
        """The best values of a contender on a problem; none of one whose ranges are empty; None where no trial of it
        is done."""
        study = self.studies.get((problem, solver))
        if study is None:
            return {}
        return None if study.best is None else study.best.choice
