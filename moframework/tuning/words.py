"""Tried values as text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["as_text", "said", "said_choice", "short_keys", "short_parts"]


def said_choice(choice: Mapping[str, Any]) -> list[str]:
    """Values for people, by as much of the end of a key as no other has.

    >>> said_choice({"training.optimizer.lr": 0.00312, "solver.rank": 2})
    ['lr = 0.00312', 'rank = 2']
    >>> said_choice({"training.optimizer.lr": 0.1, "training.parameter_groups.0.optimizer.lr": 0.2})
    ['training.optimizer.lr = 0.1', '0.optimizer.lr = 0.2']
    """
    short = short_keys(choice)
    return [f"{short[key]} = {said(value)}" for key, value in choice.items()]


def short_keys(keys: Iterable[str]) -> dict[str, str]:
    """As much of the end of each key as no other has."""
    known = list(keys)

    def end(key: str) -> str:
        parts = key.split(".")
        ends = (".".join(parts[-count:]) for count in range(1, len(parts)))
        return next((end for end in ends if sum(f".{other}".endswith(f".{end}") for other in known) == 1), key)

    return {key: end(key) for key in known}


def short_parts(values: Sequence[Any]) -> list[str]:
    """Choices by their names alone; several of one name with the options in which they differ.

    >>> short_parts([None, {"name": "grid"}, {"name": "dirichlet", "per_batch": 1}, {"name": "dirichlet"}])
    ['none', 'grid', 'dirichlet, per_batch 1', 'dirichlet']
    """
    named = [value.get("name") if isinstance(value, Mapping) else None for value in values]
    made = []
    for value, name in zip(values, named, strict=True):
        if name is None:
            made.append("none" if value is None else str(value))
            continue
        others = [other for other, its in zip(values, named, strict=True) if its == name]
        differing = {key: one for key, one in value.items() if any(other.get(key) != one for other in others)}
        made.append(", ".join([str(name), *(f"{key} {said(one)}" for key, one in differing.items())]))
    return made


def said(value: Any) -> str:
    """One value for people: four digits of a number that is not whole."""
    return f"{value:.4g}" if isinstance(value, float) else as_text(value)


def as_text(value: Any) -> str:
    """One value as it can be read back: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else repr(value) if isinstance(value, float) else json.dumps(value)
