"""Objectives that combine the tasks' gradients at the features which all heads read, sample by sample."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from attrs import frozen
from torch import Tensor, nn

from moframework.objectives.base import Objective

__all__ = ["FeatureAggregation", "Features", "Head", "Likelihood"]

Likelihood = Literal["gaussian", "bernoulli", "categorical"]
"""What an output stands for, where its loss is the negative logarithm of a likelihood: a mean with squared errors,
logits of events, logits of classes."""


@frozen(kw_only=True)
class Head:
    """What leads from the features to the output of one task, where it is one linear layer.

    Attributes:
        task: its name.
        weight, bias: (o, d) and (o,) or None, without a graph.
        target: (b, ...), as the loss takes it.
        known: which targets count, booleans of the shape of `target`.
        likelihood: of the task's loss.
    """

    task: str
    weight: Tensor
    bias: Tensor | None
    target: Tensor
    known: Tensor
    likelihood: Likelihood


@frozen(kw_only=True)
class Features:
    """What a step knows of the features of one preference. Features of several positions, such as maps (b, d, h, w),
    are rows: n is b times their number.

    Attributes:
        values: (n, d), without a graph.
        gradients: of each task's loss, (m, n, d).
        losses: (m,), without a graph.
        heads: of each task, where the objective asks for them (`needs_heads`); else empty.
    """

    values: Tensor
    gradients: Tensor
    losses: Tensor
    heads: tuple[Head, ...] = ()


class FeatureAggregation(Objective):
    """A direction for the features that all heads read, from what each task asks of them.

    The engine cuts the network where the first layers of the heads read the shared features, sends what `combine` makes
    of the tasks' gradients there through the shared part once, and descends each head's own loss. So a step costs one
    forward pass, and one pass back through the shared part whatever the number of tasks.

    For networks with heads: each task has parameters of its own, the first of them in a linear layer or a convolution,
    and all of these read one tensor. Of a single process, and without balancings.
    """

    needs_heads: ClassVar[bool] = False
    """Whether each head must be one linear layer, and each loss have a likelihood (`Features.heads`)."""

    @property
    def turns(self) -> bool:
        """Whether `turn` is asked for."""
        return False

    def check(self, heads: Sequence[Head]) -> None:
        """Raise `SpecError` where these heads are none that it can do with; of `needs_heads`. Asked before training."""

    @abstractmethod
    def combine(self, features: Features, preference: Tensor, state: nn.Module | None = None) -> Tensor:
        """The direction to descend (n, d), as a gradient of the mean loss over samples with respect to the features.

        Args:
            features: of one preference.
            preference: (m,).
            state: as `build` made it; left out where it made none.
        """

    def turn(self, features: Features, state: nn.Module | None) -> Tensor | None:
        """Orthogonal matrices Q_t (m, d, d) by which the features are turned before each head, once the optimizer has
        taken its step: the first layer of head t reads Q_t z from then on. None: they are not. Asked for after
        `combine`, where `turns`."""
        return None

    @staticmethod
    def finite(features: Features) -> Tensor:
        """Whether losses, features and gradients are; a boolean on the device."""
        parts = (features.losses, features.values, features.gradients)
        return torch.stack([torch.isfinite(part).all() for part in parts]).all()
