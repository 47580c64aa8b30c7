"""Whether statistics of BatchNorm layers that all preferences share fit the single ones."""

from __future__ import annotations

import attrs
import numpy as np
import torch
from torch import Tensor

from moframework.data import Dataset
from moframework.data.sampling import evenly_spread
from moframework.engine.evaluate import Evaluator
from moframework.model import ParetoModel

__all__ = ["batchnorm_gap"]

GAP = 0.05
"""Relative difference of a loss from which it is told."""
_SAMPLES = 1000
_PREFERENCES = 4


def batchnorm_gap(
    model: ParetoModel, evaluator: Evaluator, train: Dataset, val: Dataset, preferences: Tensor
) -> str | None:
    """What to tell where running statistics of BatchNorm layers make losses larger than statistics of one θ(λ) do.

    Training leaves running means over the preferences that it drew, and over weights that changed; θ(λ) of one
    preference may be far from them. Seen on 1,000 samples of the validation split at four preferences, with statistics
    of 1,000 training samples: losses with the shared ones are compared with those after taking them anew.

    Args:
        model: trained, on the device.
        evaluator: as of the fronts, without calibration.
        preferences: the evaluation set (n, m).

    Returns:
        a sentence with the largest relative difference, where it is over 5 %; None where there is none, or no such
        layer.
    """
    if not model.norms():
        return None
    some = preferences[torch.linspace(0, len(preferences) - 1, min(len(preferences), _PREFERENCES)).round().long()]
    few = evenly_spread(val, _SAMPLES)
    evaluator = attrs.evolve(evaluator, metrics=False, calibration=None)
    anew = attrs.evolve(evaluator, calibration=evenly_spread(train, _SAMPLES))
    shared, own = (one.front(model, few, some, "val").losses for one in (evaluator, anew))
    gap = (shared - own) / np.maximum(np.abs(own), np.finfo(np.float32).tiny)
    row, task = divmod(int(gap.argmax()), gap.shape[1])
    if gap[row, task] <= GAP:
        return None
    where = ", ".join(f"{weight:.3g}" for weight in some[row].tolist())
    return (
        f"Running statistics of BatchNorm do not fit every preference: at λ = ({where}) the validation loss of "
        f"'{model.tasks[task]}' is {float(shared[row, task]):.4g} with those that all share, and "
        f"{float(own[row, task]):.4g} with statistics taken anew for this λ. Set `evaluate.batchnorm: recalibrate`, "
        "and use `model.at(λ, calibrate=batches)`."
    )
