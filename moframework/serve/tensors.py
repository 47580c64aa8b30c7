"""Nested lists of JSON as tensors of a known form, or where exactly they are none."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moframework.inputs import Entry
from moframework.serve.refusal import Refusal, pointer

__all__ = ["tensor_of"]

_KINDS: dict[str, frozenset[type]] = {
    "numbers": frozenset((int, float)),
    "whole numbers": frozenset((int,)),
    "true or false": frozenset((bool,)),
}

_SOURCES = {torch.float64: np.float64, torch.bool: np.bool_}


def tensor_of(given: Any, entry: Entry, where: Sequence[str | int], longest: int) -> Tensor:
    """The tensor (n, ...) that nested lists are.

    Args:
        given: what JSON has at `where`.
        entry: shape of a sample, and type.
        where: path in the request, for messages.
        longest: of a dimension that may vary.

    Raises:
        Refusal: they are not rectangular, of another shape or of other things; it points to the first such place.

    >>> tensor_of([[1, 2.5]], Entry((2,)), ["inputs"], 10)
    tensor([[1.0000, 2.5000]])
    """
    sizes: list[int] = []
    flat: Any = [given]
    for size in (-1, *entry.shape):
        _check_lists(flat, sizes, size, where)
        sizes.append(len(flat[0]))
        if size is None and sizes[-1] > longest:
            raise Refusal.of(pointer(*where), f"dimension {len(sizes)} has the size {sizes[-1]}; at most {longest}")
        flat = list(chain.from_iterable(flat))
    if 0 in sizes:
        raise Refusal.of(pointer(*where), f"this is empty; {_wanted(entry)}")
    kind = _kind(entry.dtype)
    if not _KINDS[kind].issuperset(map(type, flat)):
        position = next(i for i, value in enumerate(flat) if type(value) not in _KINDS[kind])
        raise Refusal.of(pointer(*where, *_indices(position, sizes)), f"{_word(flat[position])} stands where {kind} do")
    return _converted(flat, entry.dtype, sizes, where)


def _converted(flat: list[Any], dtype: torch.dtype, sizes: list[int], where: Sequence[str | int]) -> Tensor:
    source = _SOURCES.get(dtype, np.float32 if dtype.is_floating_point else np.int64)
    wide: npt.NDArray[Any]
    try:
        with np.errstate(over="ignore"):
            wide = np.array(flat, dtype=source)
    except OverflowError:
        raise Refusal.of(pointer(*where), "a number is too large for 64 bits") from None
    made = torch.from_numpy(wide).view(sizes)
    if made.dtype != dtype:
        made = made.to(dtype)
        narrow = made.flatten().to(torch.from_numpy(wide).dtype).numpy()
        bad = ~np.isfinite(narrow) if dtype.is_floating_point else narrow != wide
    else:
        bad = ~np.isfinite(wide)
    if bad.any():
        position = int(bad.nonzero()[0][0])
        name = str(dtype).removeprefix("torch.")
        raise Refusal.of(pointer(*where, *_indices(position, sizes)), f"the number is out of the range of {name}")
    return made


def _check_lists(flat: list[Any], sizes: list[int], size: int | None, where: Sequence[str | int]) -> None:
    """Raise where values of one level of nesting are not lists of `size` values; None: all of one size; -1: any."""
    expected = (len(flat[0]) if flat and isinstance(flat[0], list) else None) if size in (None, -1) else size
    if {list}.issuperset(map(type, flat)) and {expected}.issuperset(map(len, flat)) and flat:
        return
    for position, value in enumerate(flat):
        here = pointer(*where, *_indices(position, sizes))
        if not isinstance(value, list):
            raise Refusal.of(here, f"{_word(value)} stands where a list of {_count(size)} does")
        if len(value) != expected:
            told = f"it has {len(value)} values; the others have {expected}" if size is None else f"it has {len(value)}"
            raise Refusal.of(here, f"{told}; {_count(size)} are wanted")
    raise Refusal.of(pointer(*where), "there is nothing in it")


def _count(size: int | None) -> str:
    return "values" if size == -1 else "equally many values" if size is None else f"{size} values"


def _indices(position: int, sizes: Sequence[int]) -> list[int]:
    found: list[int] = []
    for size in reversed(sizes):
        position, index = divmod(position, max(size, 1))
        found.insert(0, index)
    return found


def _kind(dtype: torch.dtype) -> str:
    return "true or false" if dtype == torch.bool else "numbers" if dtype.is_floating_point else "whole numbers"


def _word(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "text",
        bool: "true or false",
        float: "a fraction",
        int: "a number",
    }
    return names.get(type(value), "null")


def _wanted(entry: Entry) -> str:
    return f"nested lists of the shape {entry}, after a first dimension of samples, are wanted"
