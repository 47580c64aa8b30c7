"""Optimizers of torch, by name, with their own options checked against torch's signatures."""

from __future__ import annotations

import functools
from typing import Any, ClassVar, cast

import torch

from moframework.config import Component
from moframework.config.by_name import by_name, classes_of
from moframework.config.signature import arguments, options_class
from moframework.optim.muon import Muon
from moframework.optim.several import SeveralOptimizers

__all__ = ["Optimizer", "default_optimizer"]

_NOT_ELEMENTWISE = {"Adafactor", "Muon"}  # of rows and columns; of whole matrices
# LBFGS needs a closure that recomputes the loss; SparseAdam takes sparse gradients only.
_NOT_OFFERED = frozenset({"Optimizer", "LBFGS", "SparseAdam"})


class Optimizer(Component, kind="optimizers"):
    """A torch optimizer with its options, for example `{name: adamw, lr: 1e-3, weight_decay: 0.01}`.

    Names are torch's class names in lower case: adam, adamw, sgd, rmsprop, …
    """

    target: ClassVar[type[torch.optim.Optimizer]]
    lr: float

    @property
    def elementwise(self) -> bool:
        """Whether each number of a parameter is treated by itself, so that parts of it can be stepped apart."""
        return self.target.__name__ not in _NOT_ELEMENTWISE

    @property
    def of_matrices(self) -> bool:
        """Whether it treats each parameter as one matrix, so that it must be one of the network."""
        return self.target is Muon

    def build(self, groups: list[dict[str, Any]], device: torch.device) -> torch.optim.Optimizer:
        """Make the optimizer over `groups`, each with its own `lr`. Fused kernels are chosen where torch has them.

        A group that names an `optimizer` of its own is stepped by that one.
        """
        own: dict[Optimizer, list[dict[str, Any]]] = {}
        for group in groups:
            own.setdefault(group.get("optimizer", self), []).append(
                {key: value for key, value in group.items() if key != "optimizer"}
            )
        parts = [optimizer._built(part, device) for optimizer, part in own.items()]
        return parts[0] if len(parts) == 1 else SeveralOptimizers(parts)

    def _built(self, groups: list[dict[str, Any]], device: torch.device) -> torch.optim.Optimizer:
        given = arguments(self)
        if given.get("fused", False) is None and not given.get("foreach"):
            given["fused"] = device.type in ("cpu", "cuda") or None
        return self.target(groups, **given)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """All optimizers of the installed torch that a spec can use."""
        return tuple(sorted(_optimizer_types()))

    @classmethod
    def lookup(cls, name: str) -> type[Component]:
        """The option class of one optimizer. Raises `UnknownNameError`."""
        return by_name("optimizer", name, _optimizer_types(), _optimizer_class)


def default_optimizer() -> Optimizer:
    """Adam with torch's defaults, as the papers use."""
    return cast(Optimizer, Optimizer.lookup("adam")())


@functools.cache
def _optimizer_types() -> dict[str, type[torch.optim.Optimizer]]:
    return classes_of(torch.optim, torch.optim.Optimizer, _NOT_OFFERED, str.lower) | {"muon": Muon}


@functools.cache
def _optimizer_class(name: str) -> type[Component]:
    target = _optimizer_types()[name]
    signed = torch.optim.Muon if target is Muon else target
    made = options_class(signed, name=target.__name__, bases=(Optimizer,), skip={"params"})
    made.target = target
    return cast(type[Component], made)
