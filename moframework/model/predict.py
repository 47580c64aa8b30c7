"""What a model says of raw data, at one preference: read, passed through the network and answered part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from moframework.errors import DataError
from moframework.inputs import InputForm, Tree
from moframework.inputs.trees import count_samples, select_samples
from moframework.predicting import Predictions, Preparation, Reading

__all__ = ["predictions"]


def predictions(
    preparation: Preparation, raw: Any, form: InputForm, reading: Reading, forward: Callable[[Tree], dict[str, Tensor]]
) -> Iterator[Predictions]:
    """What a network says of raw data, some samples at a time, in their order.

    Args:
        preparation: how raw data becomes inputs, and outputs become answers.
        form: of the inputs.
        reading: how raw data is read; `count` samples go through the network at once.
        forward: the outputs of a batch by key, without gradients; inputs are on the host.

    Raises:
        DataError: raw data cannot be read, or not as in training; or a column that is kept has the name of an answer.
    """
    for part in preparation.parts(raw, form, reading):
        starts = range(0, count_samples(part.inputs), reading.count)
        made = [forward(select_samples(part.inputs, slice(start, start + reading.count))) for start in starts]
        outputs = {key: torch.cat([each[key] for each in made]).float().cpu() for key in made[0]}
        answers = preparation.columns(outputs)
        twins = [name for name in part.kept if name in answers]
        if twins:
            raise DataError(
                f"the column '{twins[0]}' cannot be kept, since the answers have one of this name: rename it, or leave "
                "it out"
            )
        kept = {name: list(cells) for name, cells in part.kept.items()}
        yield Predictions({**kept, **answers}, {key: value.numpy() for key, value in outputs.items()})
