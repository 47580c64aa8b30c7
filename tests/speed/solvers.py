"""Solvers as a spec has them. Imports nothing of moframework, of whose versions there may be two."""

from __future__ import annotations

from typing import Any

__all__ = ["palora"]


def palora(per_batch: int, batch: str = "shared", **options: Any) -> dict[str, Any]:
    """PaLoRA at so many preferences a step."""
    preferences = {"name": "annealed", "per_batch": per_batch, "batch": batch}
    return {"name": "palora", "preferences": preferences, **options}
