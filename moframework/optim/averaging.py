"""Averages of the weights along a training, to be evaluated and kept in place of the last ones: ours, or those that an
optimizer keeps by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from moframework.config import config, option

__all__ = ["Average", "Averaging", "OwnAverage", "WeightAverage"]


@config
class Averaging:
    """Average the weights after each step: fronts are those of the average, and the result of the training is.

    Equal shares are stochastic weight averaging (Izmailov et al., UAI 2018, arXiv 1803.05407), a decay gives an
    exponential moving average (Polyak and Juditsky 1992). Training itself goes on as without. What is averaged are
    the parameters of the weight space, so for low-rank adapters the factors. Statistics of BatchNorm layers stay those
    of the training: take them anew with `evaluate.batchnorm: recalibrate`.
    """

    start: float = option(0.5, ge=0, lt=1, help="share of the training after which weights are averaged")
    decay: float | None = option(
        None, gt=0, lt=1, help="share of the average that each step keeps; none: all weights since `start` count alike"
    )


class Average(Protocol):
    """What the weights are to be when they are evaluated, and when training is over."""

    def update(self, progress: float) -> None:
        """A step was taken, which ends at this share of the training."""

    def applied(self) -> AbstractContextManager[None]:
        """The weights are the average inside, and afterwards, bit for bit, what they were before."""

    def apply(self) -> object:
        """Give the weights the average, for good."""

    def state(self) -> dict[str, Any]:
        """What a resume needs."""

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""


class OwnAverage:
    """The average that an optimizer keeps by itself: the weights in its `eval` mode.

    Schedule-Free optimizers (Defazio et al., NeurIPS 2024, arXiv 2405.15682) train at a point y between the average x
    and what they step, z. They keep y in the parameters and z in their state, so that checkpoints in training mode need
    nothing else. To and from x they go by arithmetic, which rounds: y is kept aside here, so that how often a training
    is evaluated does not change it.

    Args:
        optimizer: with `eval` and `train`, in training mode.
    """

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer

    def update(self, progress: float) -> None:
        """See `Average.update`: the optimizer's step has done it."""

    @contextmanager
    def applied(self) -> Iterator[None]:
        """See `Average.applied`."""
        before = [parameter.detach().clone() for parameter in self._parameters()]
        self.apply()
        try:
            yield
        finally:
            self.optimizer.train()
            with torch.no_grad():
                for parameter, value in zip(self._parameters(), before, strict=True):
                    parameter.copy_(value)

    def apply(self) -> None:
        """See `Average.apply`."""
        self.optimizer.eval()
        # It writes to `parameter.data`, which leaves a parameter's version as it was; weights that are kept for a
        # preference, and made anew when a parameter changes, would not be.
        increment_version(self._parameters())

    def state(self) -> dict[str, Any]:
        """See `Average.state`: it is all in the optimizer's."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """See `Average.load`."""

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


class WeightAverage:
    """The average of some parameters since `start`; before that, the parameters themselves.

    Args:
        parameters: what is averaged, read anew at each update.
        options: from when on, and how.
    """

    def __init__(self, parameters: Sequence[Tensor], options: Averaging) -> None:
        self.parameters = list(parameters)
        self.options = options
        self.values: list[Tensor] = []
        self.count = 0

    @torch.no_grad()
    def update(self, progress: float) -> None:
        """Take in the parameters as they are after a step that ends at this share of the training."""
        if progress <= self.options.start:
            self.count, self.values = 0, []  # of a training that was finished and goes on
            return
        self.count += 1
        if self.count == 1:
            self.values = [parameter.detach().clone() for parameter in self.parameters]
            return
        decay = self.options.decay
        share = 1 / self.count if decay is None else 1 - decay
        torch._foreach_lerp_(self.values, [parameter.detach() for parameter in self.parameters], share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The parameters hold the average inside, and afterwards what they held before."""
        before = self.apply()
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(self.parameters, before, strict=False):
                    parameter.copy_(value)

    @torch.no_grad()
    def apply(self) -> list[Tensor]:
        """Give the parameters the average, if there is one by now.

        Returns:
            what they held before; empty where nothing was changed.
        """
        before = [parameter.detach().clone() for parameter in self.parameters] if self.values else []
        for parameter, value in zip(self.parameters, self.values, strict=False):
            parameter.copy_(value)
        return before

    def state(self) -> dict[str, Any]:
        """What a resume needs."""
        return {"count": self.count, "values": self.values}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.count = state["count"]
        self.values = [
            value.to(parameter.device) for parameter, value in zip(self.parameters, state["values"], strict=False)
        ]
