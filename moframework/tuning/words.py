"""Tried values as text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["as_text", "said", "said_choice"]


def said_choice(choice: Mapping[str, Any]) -> list[str]:
    """Values for people, by as much of the end of a key as no other has.

    >>> said_choice({"training.optimizer.lr": 0.00312, "solver.rank": 2})
    ['lr = 0.00312', 'rank = 2']
    >>> said_choice({"training.optimizer.lr": 0.1, "training.parameter_groups.0.optimizer.lr": 0.2})
    ['training.optimizer.lr = 0.1', '0.optimizer.lr = 0.2']
    """
    return [f"{_end(key, choice)} = {said(value)}" for key, value in choice.items()]


def _end(key: str, keys: Iterable[str]) -> str:
    parts = key.split(".")
    ends = (".".join(parts[-count:]) for count in range(1, len(parts)))
    return next((end for end in ends if sum(f".{other}".endswith(f".{end}") for other in keys) == 1), key)


def said(value: Any) -> str:
    """One value for people: four digits of a number that is not whole."""
    return f"{value:.4g}" if isinstance(value, float) else as_text(value)


def as_text(value: Any) -> str:
    """One value as it can be read back: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else repr(value) if isinstance(value, float) else json.dumps(value)
