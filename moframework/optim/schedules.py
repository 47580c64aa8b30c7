"""Learning-rate schedulers of torch, by name, with their own options checked against torch's signatures."""

from __future__ import annotations

import functools
import re
from typing import ClassVar, Literal, cast

import torch
from torch.optim.lr_scheduler import LRScheduler

from moframework.config import Component, config, option
from moframework.config.by_name import by_name, classes_of
from moframework.config.signature import arguments, options_class

__all__ = ["LRSchedule"]

# These need a function, or other schedulers: a list of schedulers takes the place of the latter.
_NOT_OFFERED = frozenset({"LRScheduler", "LambdaLR", "MultiplicativeLR", "SequentialLR", "ChainedScheduler"})

# The option that means the whole length of the training, where torch has one.
_TOTALS = {
    "CosineAnnealingLR": "T_max",
    "OneCycleLR": "total_steps",
    "PolynomialLR": "total_iters",
    "LinearLR": "total_iters",
}
_LENGTHS = {**_TOTALS, "ConstantLR": "total_iters"}
_ON_PLATEAU = "ReduceLROnPlateau"


@config
class LRSchedule(Component, kind="lr_schedules"):
    """A torch learning-rate scheduler with its options, for example `{name: multi_step, milestones: [75], gamma: 0.5}`.

    Names are torch's class names without LR, in snake case: cosine_annealing, multi_step, one_cycle, … Counts (`T_max`,
    `milestones`, …) are in the unit of `interval`; where torch asks for the total, the whole training is the default.
    `reduce_on_plateau` watches the validation hypervolume: its counts (`patience`, `cooldown`) are validations.

    Several in a list follow each other: see `Schedulers`.
    """

    target: ClassVar[type[LRScheduler]]
    total_option: ClassVar[str | None]
    length_option: ClassVar[str | None]
    """The option that tells how long it lasts, where it has one."""
    watches_validation: ClassVar[bool]
    """Whether it is told the validation hypervolume, rather than that an epoch or a step is over."""
    interval: Literal["epoch", "step"] = option(
        "epoch", help="unit of the counts below: the rate changes each epoch or each step"
    )
    length: int | None = option(
        None,
        ge=1,
        help="how long it lasts in a list of schedulers, in that unit; none: its own total_iters, T_max or "
        "total_steps, and for the last one the rest of the training",
    )

    @property
    def own_length(self) -> int | None:
        """How long it lasts, in the unit of `interval`, where its options tell."""
        if self.length is not None or self.length_option is None:
            return self.length
        return cast("int | None", getattr(self, self.length_option))

    def build(self, optimizer: torch.optim.Optimizer, total: int) -> LRScheduler:
        """Make the scheduler; `total` is how long it has, in the unit of `interval`."""
        given = arguments(self)
        if self.total_option is not None and given[self.total_option] is None:
            given[self.total_option] = total
        if self.watches_validation:
            given["mode"] = "max"
        return self.target(optimizer, **given)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """All schedulers of the installed torch that a spec can use."""
        return tuple(sorted(_schedule_types()))

    @classmethod
    def lookup(cls, name: str) -> type[Component]:
        """The option class of one scheduler. Raises `UnknownNameError`."""
        return by_name("scheduler", name, _schedule_types(), _schedule_class)


def _snake(name: str) -> str:
    if name == _ON_PLATEAU:
        return "reduce_on_plateau"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.removesuffix("LR")).lower()


@functools.cache
def _schedule_types() -> dict[str, type[LRScheduler]]:
    return classes_of(torch.optim.lr_scheduler, LRScheduler, _NOT_OFFERED, _snake)


@functools.cache
def _schedule_class(name: str) -> type[Component]:
    target = _schedule_types()[name]
    total, watches = _TOTALS.get(target.__name__), target.__name__ == _ON_PLATEAU
    made = options_class(
        target,
        name=target.__name__,
        bases=(LRSchedule,),
        skip={"optimizer", "last_epoch", "verbose", *({"mode"} if watches else ())},
        optional=set() if total is None else {total},
    )
    made.target = target
    made.total_option, made.length_option = total, _LENGTHS.get(target.__name__)
    made.watches_validation = watches
    return cast(type[Component], made)
