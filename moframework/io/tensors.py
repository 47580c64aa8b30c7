"""Files of tensors, read without executing anything they contain."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from moframework.io.atomic import atomic_write
from moframework.io.sealed import seal_zip

__all__ = ["load_plain", "load_state", "save_plain", "save_tensors"]

_NEARLY_FULL = 1 << 20  # bytes: torch does not say why it could not write

# What torch's restricted unpickler was seen to raise on files that are damaged, or that hold more than tensors and
# plain values.
_RAISED = (RuntimeError, ValueError, EOFError, OSError, LookupError, TypeError, AttributeError, pickle.UnpicklingError)


def save_plain(path: Path, content: Any, *, before: Callable[[], None] = lambda: None) -> None:
    """Write tensors, numbers, text, lists and dicts to `path` with `torch.save`, whole or not at all, and with a
    checksum (`sealed.verify_zip`) in place of torch's own, which takes as long and which no reader of torch looks at.

    Args:
        before: called when the new file is whole, before it takes the place of the old one.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    with atomic_write(path) as partial:
        with _without_crc(), _told_as_os_error(path):
            torch.save(content, partial)
        seal_zip(partial)
        before()


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write contiguous tensors on the host, by name, to a safetensors file, whole or not at all.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    with atomic_write(path) as partial, _told_as_os_error(path):
        save_file(dict(tensors), partial)


@contextlib.contextmanager
def _without_crc() -> Iterator[None]:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        yield
    finally:
        torch.serialization.set_crc32_options(before)


@contextlib.contextmanager
def _told_as_os_error(path: Path) -> Iterator[None]:
    """Tell what torch and safetensors say in their own words when the disk takes nothing more, as Python does."""
    try:
        yield
    except (RuntimeError, SafetensorError) as error:
        text = str(error)
        if not any(words in text for words in ("failed writing", "write failed", "I/O error", "unexpected pos")):
            raise
        full = "No space left" in text or shutil.disk_usage(path.parent).free < _NEARLY_FULL
        number = errno.ENOSPC if full else errno.EIO
        raise OSError(number, f"{os.strerror(number)} ({text.partition(chr(10))[0][:200]})", str(path)) from error


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
