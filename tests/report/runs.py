"""Small runs to be shown, solved once a process; do not change them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from moframework import solve

__all__ = ["shown_runs"]

_DIGITS = {"name": "digits", "train": 160, "val": 48, "test": 48}
_SPECS: Mapping[str, dict[str, Any]] = {
    "palora": {"problem": _DIGITS, "solver": {"name": "palora", "rank": 1}, "evaluate": {"points": 5}},
    "points": {"problem": _DIGITS, "solver": {"name": "multipoint", "points": 3}},
    "single": {"problem": _DIGITS, "solver": "single"},
    "stl": {"problem": _DIGITS, "solver": "stl"},
    "three": {
        "problem": {"name": "quadratics", "objectives": 3},
        "solver": "pamal",
        "training": {"steps": 6},
        "evaluate": {"points": 15},
    },
}


_SOLVED: dict[str, Path] = {}


@pytest.fixture(scope="session")
def shown_runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Folders by name: two tasks by one model, a finite set, one network and a network a task; three tasks. They are
    solved when the first test of a process asks, in whichever module it is."""
    folder = tmp_path_factory.mktemp("shown")
    for name, spec in _SPECS.items():
        if name not in _SOLVED:
            training = {"epochs": 3, "batch_size": 32}
            _SOLVED[name] = solve({"training": training, **spec}, folder / name, device="cpu").path
    return _SOLVED
