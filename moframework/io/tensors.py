"""Files of tensors, read without executing anything they contain."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

__all__ = ["load_plain", "load_state"]

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


def load_state(path: Path) -> dict[str, Tensor]:
    """A state dict, onto the host: tensors by name.

    Args:
        path: a `.safetensors` file, or a torch file that holds a state dict, also under `state_dict` or `model`.

    Raises:
        ValueError: there is no such file, or it is damaged or something else.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is not a safetensors file: {error}") from error
    found = load_plain(path)
    for key in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ValueError(f"{path} holds no state dict, a mapping from names to tensors")
    return dict(found)
