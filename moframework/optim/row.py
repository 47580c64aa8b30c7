"""Schedulers in a row: a warm-up, then a cosine, then what has to come."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from moframework.config.options import OptionError
from moframework.errors import SpecError
from moframework.optim.schedules import LRSchedule

__all__ = ["Schedulers", "check_row", "describe_row", "parts_of"]

_WHERE = "training.scheduler"
# What torch's schedulers change in a group of parameters, and what they add. All else is the optimizer's: those of
# pytorch-optimizer count their steps there.
_CHANGED = frozenset({"lr", "momentum", "betas"})
_ADDED = frozenset({"initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum"})


def check_row(row: Sequence[LRSchedule], key: str = "scheduler") -> None:
    """Refuse schedulers that cannot follow each other.

    Args:
        key: the option at fault.

    Raises:
        OptionError: there is none; they count in different units; one before the last does not say how long it lasts,
            or watches the validation, of which nobody knows how long it does; one that does has a length.
    """
    if not row:
        raise OptionError(f"{key} must have at least one scheduler; null stands for none", key)
    counted = [schedule for schedule in row if not schedule.watches_validation]
    units = {schedule.interval for schedule in counted}
    if len(units) > 1:
        raise OptionError("schedulers in a row must have one `interval`, epoch or step, but here are both", key)
    for position, schedule in enumerate(row):
        at = key if len(row) == 1 else f"{key}.{position}"
        if schedule.watches_validation and (schedule.interval != "epoch" or schedule.length is not None):
            name = "interval" if schedule.interval != "epoch" else "length"
            raise OptionError(
                f"{name} does not go with reduce_on_plateau, which acts at validations (evaluate.every) until the "
                "training ends; leave it out",
                f"{at}.{name}",
            )
        if position == len(row) - 1:
            continue
        if schedule.watches_validation:
            raise OptionError("reduce_on_plateau lasts until the training ends: it must be the last in the list", at)
        if schedule.own_length is None:
            raise OptionError(
                f"must say how many {schedule.interval}s this one lasts before the next one takes over",
                f"{at}.length",
            )


class Schedulers:
    """Schedulers of an optimizer, one after the other, each for its own length.

    Each begins with the rates (and momenta) that the optimizer was made with, as those of torch's `SequentialLR` do,
    and counts from its own beginning: a `linear` warm-up of 5 epochs and a `cosine_annealing` in a training of 20 give
    5 epochs of rising rates, then a cosine of 15. The last one has what is left of the training; where it has a
    `length` of its own, the rate stays as it is afterwards. torch's class is not used: it steps all its schedulers once
    when it is made, and the next one by an argument that torch has deprecated.

    Args:
        row: at least one, as `check_row` allows.
        optimizer: with its rates.
        steps, per_epoch: of the whole training, and of an epoch.

    Attributes:
        parts: the schedulers and how long each has, in epochs or steps.
        by_step: whether `step` is to be called after each step, rather than at each epoch's end.
        current: torch's scheduler that is at work.

    Raises:
        SpecError: the training ends before the last one begins.
    """

    def __init__(self, row: Sequence[LRSchedule], optimizer: torch.optim.Optimizer, steps: int, per_epoch: int) -> None:
        self.optimizer = optimizer
        self.by_step = _unit(row) == "step"
        self.parts = parts_of(row, steps, per_epoch)
        self._made_with = [_options(group) for group in optimizer.param_groups]
        self.current: LRScheduler
        self.begin(0)

    def begin(self, part: int) -> None:
        """Let the scheduler of this number begin."""
        for group, options in zip(self.optimizer.param_groups, self._made_with, strict=True):
            for key in _ADDED - options.keys():
                group.pop(key, None)
            group.update({key: options[key] for key in (_CHANGED | _ADDED) & options.keys()})
        schedule, length = self.parts[part]
        self._part, self._taken = part, 0
        self.current = schedule.build(self.optimizer, length)

    def step(self) -> None:
        """An epoch, or a step, is over."""
        self._taken += 1
        length = self.parts[self._part][1]
        if self._taken == length and self._part + 1 < len(self.parts):
            self.begin(self._part + 1)
        elif self._taken <= length and not self._watches:
            self.current.step()

    def validated(self, hypervolume: float) -> None:
        """A validation is over, with this hypervolume."""
        if self._watches:
            assert isinstance(self.current, ReduceLROnPlateau), "the only one that does"
            self.current.step(hypervolume)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"part": self._part, "taken": self._taken, "scheduler": self.current.state_dict()}

    def load_state_dict(self, state: dict[str, Any], *, same_length: bool = True) -> None:
        """Go on from a checkpoint; the optimizer has its state already.

        Args:
            same_length: whether the training is as long as the one that was saved. If not, rates are those that a
                training of this length has after as many epochs or steps; only what a plateau has brought stays.
        """
        if "part" not in state:  # checkpoints of before there were lists
            state = {"part": 0, "taken": state["last_epoch"], "scheduler": state}
        rates = [_options(group) for group in self.optimizer.param_groups]
        if not same_length:
            done = sum(length for _, length in self.parts[: state["part"]]) + state["taken"]
            self._replay(done)
            if not self._watches or self._part != state["part"]:
                return
        else:
            self.begin(state["part"])
        self._taken = state["taken"]
        self.current.load_state_dict(state["scheduler"])
        for group, options in zip(self.optimizer.param_groups, rates, strict=True):
            group.update(options)

    def _replay(self, count: int) -> None:
        self.begin(0)
        # torch cannot know that the optimizer has taken its steps.
        with warnings.catch_warnings(action="ignore"):
            for _ in range(count):
                self.step()

    @property
    def _watches(self) -> bool:
        return self.parts[self._part][0].watches_validation


def parts_of(row: Sequence[LRSchedule], steps: int, per_epoch: int) -> list[tuple[LRSchedule, int]]:
    """Each scheduler of a row with how long it has, in epochs or steps. Arguments and errors are those of
    `Schedulers`."""
    total = steps if _unit(row) == "step" else math.ceil(steps / per_epoch)
    lengths = [schedule.own_length or 0 for schedule in row[:-1]]
    rest = total - sum(lengths)
    if rest < 1:
        raise SpecError(
            f"{_WHERE}: the schedulers before the last one take {sum(lengths)} {_unit(row)}s, but the training has "
            f"{total}: shorten them, or train longer"
        )
    return list(zip(row, [*lengths, row[-1].length or rest], strict=True))


def _options(group: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "params"}


def describe_row(parts: Sequence[tuple[LRSchedule, int]]) -> str:
    """What `parts_of` gives, in words."""
    unit = _unit([schedule for schedule, _ in parts])
    told = [f"{type(schedule).__name__} for {length} {unit}{'s' * (length > 1)}" for schedule, length in parts]
    return ", then ".join(told)


def _unit(row: Sequence[LRSchedule]) -> str:
    """What a row counts in; a plateau counts nothing."""
    return next((schedule.interval for schedule in row if not schedule.watches_validation), "epoch")
