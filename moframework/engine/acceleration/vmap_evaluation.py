"""Forward passes of one batch with the weights of several preferences: one after the other, or all in one.

On an accelerator a small network leaves most of the device idle, and one vectorized pass (`torch.func.vmap` over θ(λ))
takes less time than n of them; a large network fills the device, and vectorizing, which turns convolutions into grouped
ones, costs. Which is faster depends on network, batch and device, so both are measured on the first batch. On the CPU
the loop wins (11 preferences, `python -m tests.speed evaluate`: one pass takes LeNet 2.7 times as long and an MLP 1.2
times), and nothing is measured.
"""

from __future__ import annotations

import contextlib
import time
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from moframework.engine.device import Placement
from moframework.model import ParetoModel

__all__ = ["Passes"]

Outputs = dict[str, Tensor]
Theta = dict[str, Tensor]

# By model: for each kind of batch and number of preferences, whether one pass is faster than many.
_FASTER: weakref.WeakKeyDictionary[ParetoModel, dict[Any, bool]] = weakref.WeakKeyDictionary()
_ROUNDS = 3


class Passes:
    """What a model makes of batches at several preferences.

    Args:
        model: in evaluation mode, while this is in use.
        thetas: the weights of each preference, buffers included that depend on it. In turn they are looked up once a
            batch each.
        place: where the batches are.
        vectorized: all in one pass (True), one after the other (False), or whichever is faster on an accelerator
            (None).

    Example::

        passes = Passes(model, [model.weights(preference) for preference in preferences], place)
        outputs = passes(x)    # a dict for each preference
    """

    def __init__(
        self, model: ParetoModel, thetas: Sequence[Theta], place: Placement, vectorized: bool | None = None
    ) -> None:
        self.model, self.place = model, place
        self.thetas = thetas
        self._vectorized = False if len(self.thetas) < 2 else vectorized
        if not model.runs_whole or (self._vectorized is None and place.device.type == "cpu"):
            self._vectorized = False
        self._stacked: Theta = {}
        self._shared: Theta = {}

    def __call__(self, x: Tensor) -> Iterator[Outputs]:
        """The outputs of each preference for a batch, by output key; made as they are asked for, where in turn."""
        if self._vectorized is None:
            known = _FASTER.setdefault(self.model, {})
            key = (len(self.thetas), tuple(x.shape), x.dtype, self.place.autocast_dtype)
            if key not in known:
                known[key] = self._is_faster(x)
            self._vectorized = known[key]
        return self._in_one(x) if self._vectorized else self._in_turn(x)

    def _in_turn(self, x: Tensor) -> Iterator[Outputs]:
        for theta in self.thetas:
            with self.place.autocast():
                outputs = self.model.call(theta, x)
            yield outputs

    def _in_one(self, x: Tensor) -> Iterator[Outputs]:
        if not self._stacked:
            self._stack()
        with self.place.autocast(), _vectorizing():
            outputs = vmap(lambda theta: self.model.call({**self._shared, **theta}, x))(self._stacked)
        return ({key: value[j] for key, value in outputs.items()} for j in range(len(self.thetas)))

    def _stack(self) -> None:
        """Weights that all preferences have in common are given once; layers of which all are need one pass only as
        long as their inputs are the same."""
        thetas = list(self.thetas)
        for name, value in thetas[0].items():
            each = [theta[name] for theta in thetas]
            if all(other is value for other in each):
                self._shared[name] = value
            else:
                self._stacked[name] = torch.stack(each)
        if not self._stacked:  # all preferences have the same weights; something has to be mapped over
            name, value = next(iter(self._shared.items()))
            self._stacked[name] = torch.stack([value] * len(self.thetas))

    def _is_faster(self, x: Tensor) -> bool:
        try:
            one = self._seconds(self._in_one, x)
        except (RuntimeError, ValueError):
            # Control flow that depends on numbers, an operation without a rule for batches, or too little memory.
            self._stacked.clear()
            return False
        many = self._seconds(self._in_turn, x)
        if one >= many:
            self._stacked.clear()
        return one < many

    def _seconds(self, call: Callable[[Tensor], Iterator[Outputs]], x: Tensor) -> float:
        """The least of a few calls after a first one."""
        taken = []
        for _ in range(1 + _ROUNDS):
            _wait(self.place.device)
            begin = time.perf_counter()
            for _ in call(x):
                pass
            _wait(self.place.device)
            taken.append(time.perf_counter() - begin)
        return min(taken[1:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextlib.contextmanager
def _vectorizing() -> Iterator[None]:
    """While inside, attention takes the way that vmap knows; what it runs sample by sample is slow, not wrong."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="There is a performance drop")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
