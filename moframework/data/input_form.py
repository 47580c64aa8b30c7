"""What the inputs of a data set look like, told from a few of its samples."""

from __future__ import annotations

from collections.abc import Sized
from typing import cast

import attrs

from moframework.data.collate import collate_of
from moframework.data.dataset import Dataset, TensorData
from moframework.data.loader import as_floats, loaded_items
from moframework.inputs.form import Entry, InputForm, InputShape
from moframework.inputs.trees import Tree, select_samples

__all__ = ["input_form"]

_LOOKED_AT = 8


def input_form(data: Dataset, shape: InputShape | None = None) -> InputForm:
    """The form of the inputs of a data set, as a network reads them.

    Args:
        data: at least one sample.
        shape: of one input, where it is known. None: that of the first sample; or, where a collate function makes
            batches, what some samples have in common that are spread over the data, and None for sizes that they do
            not.

    Raises:
        ValueError: `shape` is of another structure than the inputs.
        DataError: samples make no batch.
    """
    if isinstance(data, TensorData):
        return _form(select_samples(data.inputs, slice(0, 1)), shape)
    if collate_of(data) is None or shape is not None:
        return _form(loaded_items(data, [0])[0], shape)
    count = len(cast(Sized, data))
    rows = sorted({i * count // _LOOKED_AT for i in range(_LOOKED_AT)})
    alone = [_form(loaded_items(data, [row])[0], None) for row in rows]
    made = _form(loaded_items(data, rows)[0], None)
    for path, entry in made.entries.items():
        seen = [entry, *(form.entries[path] for form in alone if path in form.entries)]
        if all(len(one.shape) == len(entry.shape) for one in seen):
            made = made.replaced(path, attrs.evolve(entry, shape=_common(seen)))
    return made


def _form(x: Tree, shape: InputShape | None) -> InputForm:
    return InputForm.of_batch(as_floats(x), shape)


def _common(entries: list[Entry]) -> tuple[int | None, ...]:
    sizes = zip(*(entry.shape for entry in entries), strict=True)
    return tuple(same[0] if len(set(same)) == 1 else None for same in sizes)
