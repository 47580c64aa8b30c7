"""Evaluation of all preferences in one vectorized forward pass (`torch.func.vmap` over θ(λ)).

On an accelerator a small network leaves most of the device idle, and one vectorized pass takes less time than n of
them; a large network fills the device, and vectorizing, which turns convolutions into grouped ones, costs. Which is
faster depends on network, batch and device, so both are measured on the first batch. On the CPU passes one by one win
(11 preferences, `python -m tests.speed evaluate`: one pass takes LeNet 2.7 times as long and an MLP 1.2 times), and
nothing is measured.
"""

from __future__ import annotations

import contextlib
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.func import vmap

from moframework.engine.device import Placement
from moframework.inputs.trees import Tree, signature
from moframework.model import ParetoModel

__all__ = ["Forward", "Outputs", "VmapEvaluation"]

Outputs = dict[str, Tensor]
Theta = dict[str, Tensor]
Forward = Callable[[Tree], Iterable[Outputs]]

# By model: for each kind of batch and number of preferences, whether one pass is faster than many.
_FASTER: weakref.WeakKeyDictionary[ParetoModel, dict[Any, bool]] = weakref.WeakKeyDictionary()
_ROUNDS = 3


class VmapEvaluation:
    """The outputs of a network for a batch with the weights of n preferences, from one forward pass.

    Args:
        model: in evaluation mode, while this is in use.
        thetas: the weights of each preference, buffers included that depend on it.
        place: where the batches are.

    Example::

        found = VmapEvaluation.when(model, thetas, place, x, plain)
        outputs = (plain if isinstance(found, str) else found)(x)    # a dict for each preference
    """

    def __init__(self, model: ParetoModel, thetas: Sequence[Theta], place: Placement) -> None:
        self.model, self.place, self.count = model, place, len(thetas)
        self._stacked: Theta = {}
        self._shared: Theta = {}
        # Weights that all preferences have in common are given once: layers all of whose weights are need one pass
        # only as long as their inputs are the same.
        for name, value in thetas[0].items():
            each = [theta[name] for theta in thetas]
            if all(other is value for other in each):
                self._shared[name] = value
            else:
                self._stacked[name] = torch.stack(each)
        if not self._stacked:  # all preferences have the same weights; something has to be mapped over
            name, value = next(iter(self._shared.items()))
            self._stacked[name] = torch.stack([value] * self.count)

    @classmethod
    def when(
        cls, model: ParetoModel, thetas: Sequence[Theta], place: Placement, x: Tree, plain: Forward | None
    ) -> Self | str:
        """This forward for batches like x, or why it does not apply.

        Args:
            thetas: a list where they are in memory, else made when asked for.
            plain: the passes one by one, which have to be slower; None: they are not asked.
        """
        if len(thetas) < 2:
            return "there is one preference"
        if not model.materializes:
            return "θ(λ) is made layer by layer (FSDP)"
        if not isinstance(thetas, list):
            return "the weights of all preferences are too large to be in memory at once"
        if plain is None:
            return cls(model, thetas, place)
        if place.device.type == "cpu":
            return "on a CPU passes one by one are faster"
        known = _FASTER.setdefault(model, {})
        kind = (len(thetas), signature(x), place.autocast_dtype)
        if known.get(kind, True):
            try:
                found = cls(model, thetas, place)
                if kind not in known:
                    known[kind] = found._seconds(found, x) < found._seconds(plain, x)
            except (RuntimeError, ValueError):
                # Control flow that depends on numbers, an operation without a rule for batches, or too little memory.
                known[kind] = False
            if known[kind]:
                return found
        return "passes one by one are faster, as measured, or all that the network can do"

    def __call__(self, x: Tree) -> Iterator[Outputs]:
        """The outputs of each preference for a batch, by output key."""
        with self.place.autocast(), _vectorizing():
            outputs = vmap(lambda theta: self.model.call({**self._shared, **theta}, x))(self._stacked)
        return ({key: value[j] for key, value in outputs.items()} for j in range(self.count))

    def _seconds(self, forward: Forward, x: Tree) -> float:
        """The least of a few calls after a first one."""
        taken = []
        for _ in range(1 + _ROUNDS):
            _wait(self.place.device)
            begin = time.perf_counter()
            for _ in forward(x):
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
