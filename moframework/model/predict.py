"""What a model says of raw data, at one preference: read, passed through the network and answered part by part."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from moframework.errors import DataError
from moframework.inputs import Tree
from moframework.inputs.trees import count_samples, mapped, select_samples
from moframework.model.buffers import modes_kept
from moframework.predicting import Predictions, Preparation, Reading

if TYPE_CHECKING:
    from moframework.model.pareto_model import ParetoModel

__all__ = ["predictions"]


def predictions(
    model: ParetoModel, preparation: Preparation, raw: Any, preference: Tensor, reading: Reading
) -> Iterator[Predictions]:
    """What a model says of raw data, some samples at a time, in their order.

    Args:
        preparation: how raw data becomes inputs, and outputs become answers.
        preference: λ (m,), on the simplex.
        reading: how raw data is read; `count` samples go through the network at once.

    Raises:
        DataError: raw data cannot be read, or not as in training; or a column that is kept has the name of an answer.
    """
    with torch.no_grad():
        theta = model.weights(preference)
    device = next(itertools.chain(model.parameters(), model.buffers())).device
    for part in preparation.parts(raw, model.recipe.inputs, reading):
        made = _outputs(model, theta, part.inputs, device, reading.count)
        answers = preparation.columns(made)
        twins = [name for name in part.kept if name in answers]
        if twins:
            raise DataError(
                f"the column '{twins[0]}' cannot be kept, since the answers have one of this name: rename it, or leave "
                "it out"
            )
        kept = {name: list(cells) for name, cells in part.kept.items()}
        yield Predictions({**kept, **answers}, {key: value.numpy() for key, value in made.items()})


def _outputs(
    model: ParetoModel, theta: Mapping[str, Tensor], inputs: Tree, device: torch.device, count: int
) -> dict[str, Tensor]:
    """Outputs of all samples by key, on the host. The network is used, not trained, whatever mode it is in."""
    with torch.no_grad(), modes_kept(model):
        model.eval()
        made = [
            model.call(theta, mapped(lambda leaf: leaf.to(device), select_samples(inputs, slice(i, i + count))))
            for i in range(0, count_samples(inputs), count)
        ]
    return {key: torch.cat([outputs[key] for outputs in made]).float().cpu() for key in model.recipe.outputs}
