"""Tried values as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["as_text", "said", "said_choice"]


def said_choice(choice: Mapping[str, Any]) -> list[str]:
    """Values for people: `lr = 0.00312`."""
    return [f"{key.rpartition('.')[2]} = {said(value)}" for key, value in choice.items()]


def said(value: Any) -> str:
    """One value for people: four digits of a number that is not whole."""
    return f"{value:.4g}" if isinstance(value, float) else as_text(value)


def as_text(value: Any) -> str:
    """One value as it can be read back: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else repr(value) if isinstance(value, float) else json.dumps(value)
