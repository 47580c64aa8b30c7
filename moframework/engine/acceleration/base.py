"""The contract of an acceleration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from moframework.engine.settings import Training
from moframework.engine.step import Batch, Step

__all__ = ["Acceleration"]


class Acceleration(ABC):
    """A plug of the training step: what it computes stays the same (to rounding), and it can be taken out.

    Making one installs it: it stands in for `Step.execute` (the whole step), `Step.weights` (θ(λ)) or, in
    `Step.forwards`, for the plain way from preferences to losses; or it sets a switch of the weight space or the
    network. Whatever it does not know it leaves to the plain path.
    """

    does: ClassVar[str]
    """What it does, in a few words."""

    @classmethod
    @abstractmethod
    def declines(cls, step: Step, training: Training) -> str | None:
        """Why it does not apply, or None where it does. Changes nothing.

        Raises:
            SpecError: the spec demands it, and it cannot be.
        """

    @abstractmethod
    def __init__(self, step: Step, training: Training) -> None:
        """Install it into a step that it does not decline."""

    def takes(self, batch: Batch) -> bool:
        """See `Forward.takes`: all, unless it says otherwise."""
        return True
