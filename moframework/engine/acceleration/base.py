"""The contract of an acceleration, and of the weight spaces that some of them ask more of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor

from moframework.engine.settings import Training
from moframework.engine.step import Step
from moframework.weights.low_rank import Adapter

__all__ = ["Acceleration", "AdaptedSpace"]


class Acceleration(ABC):
    """A plug of the training step: what it computes stays the same (to rounding), and it can be taken out.

    Making one installs it: it stands in for `Step.execute` (the whole step), `Step.weights` (θ(λ)) or, in
    `Step.forwards`, for the plain way from preferences to losses; or it raises `Step.joined`, or sets a switch of the
    weight space or the network. Whatever it does not know it leaves to the plain path.
    """

    does: ClassVar[str]
    """What it does, in a few words."""

    @classmethod
    @abstractmethod
    def declines(cls, step: Step, training: Training) -> str | None:
        """Why it does not apply, or None where it does. Changes nothing; asked in the order of the list.

        Raises:
            SpecError: the spec demands it, and it cannot be.
        """

    @abstractmethod
    def __init__(self, step: Step, training: Training) -> None:
        """Install it into a step that it does not decline."""


@runtime_checkable
class AdaptedSpace(Protocol):
    """A weight space of low-rank adapters, which tells them apart from the shared weights."""

    def adapters(self, preferences: Tensor) -> Iterator[tuple[Adapter, Tensor, Tensor, Tensor, Tensor]]:
        """For each adapted weight its adapter, W0, B, A, and the factors (r, m·q) of B's columns at each preference."""

    def unadapted(self) -> dict[str, Tensor]:
        """The parameters that are the same for all preferences, by name."""
