"""What training tells the outside: `Observer` is called at fixed moments, with numbers that are already on the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from moframework.pareto.front import Front

__all__ = ["Observer", "Observers", "Progress", "Reading"]


@frozen(kw_only=True)
class Progress:
    """How far training is. `step` counts optimizer steps done (0 … steps); `epoch` is fractional, 0 … epochs. `seconds`
    and `processor_seconds` were spent in training steps, as `Fit` counts them.

    >>> progress = Progress(step=50, steps=200, epoch=2.5, epochs=10.0)
    >>> f"{progress.step / progress.steps:.0%}"
    '25%'
    """

    step: int
    steps: int
    epoch: float
    epochs: float
    seconds: float = 0.0
    processor_seconds: float = 0.0


@frozen(kw_only=True)
class Reading:
    """What the steps since the last reading came to.

    >>> reading = Reading(
    ...     losses={"left": 0.4, "right": 0.7},
    ...     learning_rates={"shared": 1e-3, "adapters": 2e-3},
    ...     preferences=np.array([[0.25, 0.75]]),
    ...     seconds_per_step=0.01,
    ... )
    >>> max(reading.losses, key=reading.losses.get)
    'right'
    """

    losses: dict[str, float]
    """Mean by task, over steps and preferences with labels of it."""
    learning_rates: dict[str, float]
    """Of the last step, by parameter group."""
    preferences: NDArray[np.float64]
    """Of the last step, (M, m)."""
    seconds_per_step: float


class Observer:
    """Base of everything that watches a training: logs, progress bars, TensorBoard. Every method does nothing here.

    Called in this order: `started` once (after a resume again, with `step > 0`); `stepped` after every step;
    `logged` every `training.log_every` steps; `evaluated` at each validation; `saved` after a checkpoint is on disk;
    `finished` once.

    >>> class Hypervolumes(Observer):
    ...     "Keeps those of all validations: `solve(spec, observers=[Hypervolumes()])`."
    ...     def __init__(self):
    ...         self.found = []
    ...     def evaluated(self, progress, front, *, hypervolume, is_best):
    ...         self.found.append(hypervolume)
    >>> Hypervolumes().listens("evaluated"), Hypervolumes().listens("stepped")
    (True, False)
    """

    def listens(self, event: str) -> bool:
        """Whether something happens at an event of this name: for those that come often."""
        return getattr(type(self), event) is not getattr(Observer, event)

    def started(self, progress: Progress) -> None:
        """Training begins, or continues at `progress.step`."""

    def noted(self, words: str) -> None:
        """The engine decided something by itself that is worth knowing, in a sentence. Called between steps."""

    def stepped(self, progress: Progress) -> None:
        """A step was taken. Called every step: must be cheap and must not read tensors from a device."""

    def logged(self, progress: Progress, reading: Reading) -> None:
        """The losses were read."""

    def evaluated(self, progress: Progress, front: Front, *, hypervolume: float, is_best: bool) -> None:
        """The validation front was computed. `hypervolume` is the loss hypervolume that selects checkpoints."""

    def saved(self, progress: Progress, path: Path) -> None:
        """A checkpoint is whole on disk at `path`."""

    def finished(self, progress: Progress) -> None:
        """The last step was taken, or training stopped early."""


def _each(event: str) -> Any:
    """The method of `Observers` that tells each of them of an event."""

    def tell(self: Observers, *arguments: Any, **named: Any) -> None:
        for observer in self.observers:
            getattr(observer, event)(*arguments, **named)

    return tell


class Observers(Observer):
    """Several observers as one, called in order."""

    def __init__(self, observers: tuple[Observer, ...]) -> None:
        self.observers = observers

    def listens(self, event: str) -> bool:
        return any(observer.listens(event) for observer in self.observers)

    started, noted, stepped, logged = _each("started"), _each("noted"), _each("stepped"), _each("logged")
    evaluated, saved, finished = _each("evaluated"), _each("saved"), _each("finished")
