"""What the tests of tuning share: a tiny study, and trials that are solved in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from moframework.errors import InterruptedRun, MoframeworkError
from moframework.tuning.loading import load_study
from moframework.tuning.processes import Begin
from moframework.tuning.solving import solve_trial
from moframework.tuning.spec import Contest, Study
from moframework.tuning.trial import Trial

SMALL: dict[str, Any] = {"name": "digits", "train": 64, "val": 32, "test": 32}
LR = "training.optimizer.lr"
PRUNING = {"startup": 2, "keep": 0.7}


class KilledError(BaseException):
    """In the place of a kill."""


@frozen
class Over:
    """A trial that was solved when it began."""

    code: int
    text: str = ""

    def poll(self) -> int:
        return self.code

    def terminate(self) -> None: ...

    def kill(self) -> None: ...

    def said(self) -> str:
        return self.text


@contextlib.contextmanager
def here(jobs: int, trust: bool) -> Iterator[Begin]:
    """Workers that solve each trial in this process."""

    def begin(folder: Path) -> Over:
        try:
            solve_trial(folder, trust=trust)
        except InterruptedRun:
            return Over(130)
        except MoframeworkError as error:
            return Over(1, str(error))
        return Over(0)

    yield begin


def tiny(**tune: Any) -> dict[str, Any]:
    """A spec whose trials take a third of a second; the values of some do not go together, and some diverge."""
    return {
        "name": "tiny",
        "problem": SMALL,
        "solver": {"name": "palora", "rank": 1},
        "training": {"epochs": 2, "batch_size": 32, "optimizer": {"name": "sgd", "lr": 0.01}},
        "evaluate": {"points": 3, "reference": [3, 3]},
        "log": [],
        "tune": {
            "ranges": {
                LR: {"log": [1e-3, 1e3]},
                "solver.rank": {"integers": [1, 4]},
                "training.accumulate": {"choices": [1, 2]},
                "training.recompute": {"choices": [False, True]},
            },
            "trials": 8,
            "startup": 2,
            **tune,
        },
    }


def study(**tune: Any) -> Study:
    made = load_study(tiny(**tune))
    assert isinstance(made, Study)
    return made


def contest(source: dict[str, Any]) -> Contest:
    made = load_study(source)
    assert isinstance(made, Contest)
    return made


def facts(trials: list[Trial]) -> list[tuple[Any, ...]]:
    """What of trials is the same however often a study was interrupted."""
    return [(one.number, one.choice, one.state, one.hypervolume, one.validations, one.message) for one in trials]
