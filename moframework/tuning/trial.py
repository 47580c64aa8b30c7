"""`Trial`: the values of one run of a study, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import frozen

__all__ = ["State", "Trial"]

State = Literal["done", "pruned", "nonfinite", "failed", "unfinished"]


@frozen(kw_only=True)
class Trial:
    """One trial, whatever became of it."""

    number: int
    choice: Mapping[str, Any]
    """Values by key."""
    state: State
    """`unfinished`: it was interrupted, and goes on with the study."""
    hypervolume: float | None
    """On validation; of what is done alone."""
    validations: Mapping[int, float]
    """Hypervolume after so many epochs, of the validations before the last."""
    message: str | None
    """Why it was pruned, or failed."""
    seconds: float
    processor_seconds: float
    """What its processes took, with start and evaluation."""
    is_own: bool
    """Whether its values are those of the spec itself."""
