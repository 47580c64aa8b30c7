"""Optimizers of torch, and of the package pytorch-optimizer, by name, with options checked against their signatures."""

from __future__ import annotations

import functools
from typing import Any, ClassVar, cast

import torch

from moframework.config import Component
from moframework.config.by_name import by_name, classes_of
from moframework.config.options import OptionError
from moframework.config.references import remember
from moframework.config.signature import arguments, options_class
from moframework.errors import UnknownNameError
from moframework.optim.muon import Muon
from moframework.optim.pytorch_optimizer import ELEMENTWISE, PACKAGE, absent, package_classes
from moframework.optim.several import SeveralOptimizers

__all__ = ["Optimizer", "default_optimizer"]

_NOT_ELEMENTWISE = {"Adafactor", "Muon"}  # of rows and columns; of whole matrices
# LBFGS needs a closure that recomputes the loss; SparseAdam takes sparse gradients only.
_NOT_OFFERED = frozenset({"Optimizer", "LBFGS", "SparseAdam"})


class Optimizer(Component, kind="optimizers"):
    """An optimizer with its options, for example `{name: adamw, lr: 1e-3, weight_decay: 0.01}`.

    Names are class names in lower case: torch's (adam, adamw, sgd, rmsprop, …), and with
    `pip install 'moframework[optimizers]'` those that the package pytorch-optimizer has beside them (lion, soap,
    schedulefreeadamw, …): all of the installed release that one backward pass a step is enough for. The list, with what
    each is: `moframework list optimizers`.
    """

    target: ClassVar[type[torch.optim.Optimizer]]
    package: ClassVar[str] = "torch"
    """The package that has it."""
    lr: float

    def __attrs_post_init__(self) -> None:
        if getattr(self, "maximize", False):
            raise OptionError("maximize would make the losses grow: leave it out", "maximize")

    @property
    def elementwise(self) -> bool:
        """Whether each number of a parameter is treated by itself, so that parts of it can be stepped apart. Of the
        classes of pytorch-optimizer this is so for those that are known to."""
        name = self.target.__name__
        return name not in _NOT_ELEMENTWISE if self.package == "torch" else name in ELEMENTWISE

    @property
    def averages(self) -> bool:
        """Whether it keeps an average of the weights by itself, which they hold in its `eval` mode: Schedule-Free."""
        return hasattr(getattr(self, "target", None), "eval")

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
        if self.package == "torch" and given.get("fused", False) is None and not given.get("foreach"):
            given["fused"] = device.type in ("cpu", "cuda") or None
        return self.target(groups, **given)

    @classmethod
    def offers(cls, name: str) -> bool:
        """See `Component.offers`. Imports pytorch-optimizer only for a name that torch does not have."""
        return name in _torch_types() or name in _package_classes()

    @classmethod
    def further(cls) -> str | None:
        """See `Component.further`."""
        return absent()

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """All optimizers of the installed torch and pytorch-optimizer that a spec can use. Imports the latter."""
        return tuple(sorted({*_torch_types(), *_package_classes()}))

    @classmethod
    def lookup(cls, name: str) -> type[Component]:
        """The option class of one optimizer.

        Raises:
            UnknownNameError: nothing has that name; the text proposes the nearest, and how to install more.
        """
        if name in _torch_types():
            return _torch_class(name)
        own, more = _package_classes(), absent()
        try:
            return by_name("optimizer", name, {**_torch_types(), **own}, own.__getitem__)
        except UnknownNameError as error:
            raise UnknownNameError(f"{error}; {more}" if more else str(error)) from None


def default_optimizer() -> Optimizer:
    """Adam with torch's defaults, as the papers use."""
    return cast(Optimizer, Optimizer.lookup("adam")())


@functools.cache
def _torch_types() -> dict[str, type[torch.optim.Optimizer]]:
    return classes_of(torch.optim, torch.optim.Optimizer, _NOT_OFFERED, str.lower) | {"muon": Muon}


@functools.cache
def _torch_class(name: str) -> type[Component]:
    target = _torch_types()[name]
    signed = torch.optim.Muon if target is Muon else target
    made = options_class(signed, name=target.__name__, bases=(Optimizer,), skip={"params"})
    made.target = target
    remember(made, {"name": name})  # so that writing a spec does not ask for all names
    return cast(type[Component], made)


@functools.cache
def _package_classes() -> dict[str, type[Component]]:
    """The classes of pytorch-optimizer whose names torch does not have, used by a spec or not."""
    made = package_classes(frozenset({*_torch_types(), *map(str.lower, _NOT_OFFERED)}), Optimizer)
    for name, cls in made.items():
        cls.package = PACKAGE
        remember(cls, {"name": name})
    return made
