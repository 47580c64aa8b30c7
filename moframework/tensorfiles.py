"""torch files read without executing anything they contain."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

__all__ = ["load_plain"]

# What torch's restricted unpickler was seen to raise on files that are damaged, or that hold more than tensors and
# plain values.
_RAISED = (RuntimeError, ValueError, EOFError, OSError, LookupError, TypeError, AttributeError, pickle.UnpicklingError)


def load_plain(path: Path) -> Any:
    """Tensors, numbers, text, lists and dicts that `torch.save` wrote to `path`, onto the host.

    Raises:
        ValueError: the file is damaged, or holds objects of other kinds.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except _RAISED as error:
        raise ValueError(
            f"{path} is damaged or holds more than tensors and plain values ({type(error).__name__})"
        ) from error
