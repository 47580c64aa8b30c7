"""The model of a search that finds points and nothing between them."""

from __future__ import annotations

from typing import cast

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from moframework.blackbox.base import Request
from moframework.model import ParetoModel
from moframework.weights.finite import Finite, FiniteSpace

__all__ = ["finite_model"]

Array = npt.NDArray[np.float64]

_EDGE = 40.0  # sigmoid(±40) is 0 or 1 to 17 digits


def finite_model(request: Request, rows: npt.NDArray[np.int64], preferences: Array) -> ParetoModel:
    """A finite set whose network at each preference returns one evaluated point, to float32.

    Args:
        rows: of the evaluations, (k,).
        preferences: theirs, (k, m).
    """
    anchors = tuple(tuple(map(float, row)) for row in preferences)
    model = request.make(attrs.evolve(request.recipe, weights=Finite(anchors=anchors)))
    unit = torch.from_numpy(request.unit[rows])
    raw = unit.logit().clamp(-_EDGE, _EDGE)
    space = cast(FiniteSpace, model.space)
    with torch.no_grad():
        for member, own in zip(space.members, raw, strict=True):
            (parameter,) = cast(nn.ParameterList, member)
            parameter.copy_(own.reshape(parameter.shape))
    model.eval()
    return model
