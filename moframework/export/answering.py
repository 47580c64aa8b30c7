"""`preparation.json` beside an export: how raw data becomes inputs, and what outputs stand for, in a form of its own.

The page docs/exporting.md says what each key means.
"""

from __future__ import annotations

from typing import Any

from moframework.config import unstructure
from moframework.export.networks import Inputs
from moframework.model import ParetoModel
from moframework.predicting import Preparation

__all__ = ["FORMAT", "answering"]

FORMAT = 1


def answering(model: ParetoModel, inputs: Inputs) -> dict[str, Any]:
    """Readers and answers of a model, as plain data.

    Returns:
        `format`; `inputs`, shape and type of each tensor, by name, None for any size; `reader`, what makes them of raw
        data, by its own name, with all that it learned from the training data; `answers`, what each task's output
        stands for. The last two are None, with `why`, where that is not known.
    """
    tensors = {
        name: {"shape": [None, *entry.shape], "dtype": str(entry.dtype).removeprefix("torch.")}
        for name, entry in zip(inputs.names, inputs.form.entries.values(), strict=True)
    }
    made: dict[str, Any] = {"format": FORMAT, "inputs": tensors}
    known = model.preparation
    if not isinstance(known, Preparation):
        why = known or "the model does not say how raw data becomes its inputs, and what its outputs stand for"
        return {**made, "reader": None, "answers": None, "why": why}
    reader = None if known.reader is None else unstructure(known.reader)
    if reader is not None and "python" in (reader["name"] if isinstance(reader.get("name"), dict) else reader):
        why = f"raw data is read by code of its own ({type(known.reader).__name__}), which is not part of an export"
        return {**made, "reader": None, "answers": unstructure(known.answers), "why": why}
    return {**made, "reader": reader, "answers": unstructure(known.answers)}
