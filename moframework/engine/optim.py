"""Optimizers and learning-rate schedulers of torch, by name, with their own options checked against torch's
signatures."""

from __future__ import annotations

import functools
import re
from typing import Any, ClassVar, Literal, cast

import torch
from torch.optim.lr_scheduler import LRScheduler

from moframework.config import Component, config, option
from moframework.config.signature import arguments, options_class
from moframework.errors import UnknownNameError, nearest

__all__ = ["LRSchedule", "Optimizer", "default_optimizer"]

_NOT_ELEMENTWISE = {"Adafactor"}  # keeps means of rows and columns
# LBFGS needs a closure that recomputes the loss; SparseAdam takes sparse gradients only; Muon takes matrices only.
_NOT_OFFERED = {"Optimizer", "LBFGS", "SparseAdam", "Muon"}
# These need a function, other schedulers, or a metric at every step, which a spec cannot state.
_NOT_OFFERED_SCHEDULES = {
    "LRScheduler",
    "LambdaLR",
    "MultiplicativeLR",
    "SequentialLR",
    "ChainedScheduler",
    "ReduceLROnPlateau",
}


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

    def build(self, groups: list[dict[str, Any]], device: torch.device) -> torch.optim.Optimizer:
        """Make the optimizer over `groups` (each with its own `lr`). Fused kernels are chosen where torch has them."""
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
        return _lookup("optimizer", name, _optimizer_types(), _optimizer_class)


@config
class LRSchedule(Component, kind="lr_schedules"):
    """A torch learning-rate scheduler with its options, for example `{name: multi_step, milestones: [75], gamma: 0.5}`.

    Names are torch's class names without LR, in snake case: cosine_annealing, multi_step, one_cycle, … Counts (`T_max`,
    `milestones`, …) are in the unit of `interval`; where torch asks for the total, the whole training is the default.
    """

    target: ClassVar[type[LRScheduler]]
    total_option: ClassVar[str | None]
    interval: Literal["epoch", "step"] = option(
        "epoch", help="unit of the counts below: the rate changes each epoch or each step"
    )

    def build(self, optimizer: torch.optim.Optimizer, total: int) -> LRScheduler:
        """Make the scheduler; `total` is the length of the training in the unit of `interval`."""
        given = arguments(self)
        if self.total_option is not None and given[self.total_option] is None:
            given[self.total_option] = total
        return self.target(optimizer, **given)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """All schedulers of the installed torch that a spec can use."""
        return tuple(sorted(_schedule_types()))

    @classmethod
    def lookup(cls, name: str) -> type[Component]:
        """The option class of one scheduler. Raises `UnknownNameError`."""
        return _lookup("scheduler", name, _schedule_types(), _schedule_class)


def default_optimizer() -> Optimizer:
    """Adam with torch's defaults, as the papers use."""
    return cast(Optimizer, Optimizer.lookup("adam")())


def _lookup(what: str, name: str, types: dict[str, type], make: Any) -> type[Component]:
    if name not in types:
        guess = nearest(name, types)
        hint = f" did you mean '{guess}'?" if guess else ""
        raise UnknownNameError(f"no {what} called '{name}':{hint} allowed: {', '.join(sorted(types))}")
    return cast(type[Component], make(name))


@functools.cache
def _optimizer_types() -> dict[str, type[torch.optim.Optimizer]]:
    return {
        name.lower(): value
        for name, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer) and name not in _NOT_OFFERED
    }


@functools.cache
def _schedule_types() -> dict[str, type[LRScheduler]]:
    def snake(name: str) -> str:
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.removesuffix("LR")).lower()

    return {
        snake(name): value
        for name, value in vars(torch.optim.lr_scheduler).items()
        if isinstance(value, type)
        and issubclass(value, LRScheduler)
        and name not in _NOT_OFFERED_SCHEDULES
        and not name.startswith("_")
    }


@functools.cache
def _optimizer_class(name: str) -> type[Component]:
    target = _optimizer_types()[name]
    made = options_class(target, name=target.__name__, bases=(Optimizer,), skip={"params"})
    made.target = target
    return cast(type[Component], made)


# The option that means the whole length of the training, where torch has one.
_TOTALS = {
    "CosineAnnealingLR": "T_max",
    "OneCycleLR": "total_steps",
    "PolynomialLR": "total_iters",
    "LinearLR": "total_iters",
}


@functools.cache
def _schedule_class(name: str) -> type[Component]:
    target = _schedule_types()[name]
    total = _TOTALS.get(target.__name__)
    made = options_class(
        target,
        name=target.__name__,
        bases=(LRSchedule,),
        skip={"optimizer", "last_epoch", "verbose"},
        optional=set() if total is None else {total},
    )
    made.target = target
    made.total_option = total
    return cast(type[Component], made)
