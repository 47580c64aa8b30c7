"""Training state on disk: written whole or not at all, read without executing anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from moframework.errors import RunError
from moframework.io.atomic import replacing
from moframework.io.tensors import load_plain

__all__ = ["BEST", "LAST", "read_checkpoint", "write_checkpoint"]

LAST, BEST = "last.pt", "best.pt"
"""Names of a training's checkpoints: everything needed to resume, and the model with the best validation."""

_FORMAT = 1


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, text, and lists and dicts of them) to `path`: the old file stays until the
    new one is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        torch.save({"format": _FORMAT, **state}, partial)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `write_checkpoint` wrote, onto the host.

    Raises:
        RunError: missing, damaged, or of a newer format.
    """
    if not path.is_file():
        raise RunError(f"{path} does not exist: there is nothing to resume. Start the run without --resume.")
    try:
        state: dict[str, Any] = load_plain(path)
    except ValueError as error:
        raise RunError(f"{error}. Start the run anew.") from error
    if state["format"] > _FORMAT:
        raise RunError(f"{path} has format {state['format']}; this version reads up to {_FORMAT}. Update moframework.")
    return state
