"""Training samples that are set aside for an objective which learns from samples that no step descends."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import cast

import torch
import torch.utils.data

from moframework.data import Dataset, Split, TensorData
from moframework.engine.method import Method
from moframework.errors import SpecError
from moframework.seeding import derive_seed

__all__ = ["check_fixed", "held_out_notes", "hold_out"]

# Purpose of the random numbers that choose the samples.
_HELD_OUT = 9


def hold_out(
    method: Method, data: Mapping[Split, Dataset], seed: int
) -> tuple[Mapping[Split, Dataset], Dataset | None]:
    """The splits without the training samples that the method's objective asks to be set aside, and these; None where
    it asks for none. They are drawn at random, by `seed` alone.

    Raises:
        SpecError: nothing would be left on one side, or the training split has an order of its own.
    """
    share = method.objective.held_out_share
    if not share:
        return data, None
    train = data["train"]
    if getattr(train, "epochs", None) is not None:
        raise SpecError(
            "solver.objective.held_out: the training split has an order of its own (batches of several sets, or of "
            "rare classes), which a part of it has not: use 0, which takes further batches of all of it"
        )
    size = len(cast(Sized, train))
    count = round(size * share)
    if not 0 < count < size:
        raise SpecError(
            f"solver.objective.held_out: {share:g} of {size:,} training samples are {count:,}: at least one must be "
            "held out, and one left"
        )
    order = torch.randperm(size, generator=torch.Generator().manual_seed(derive_seed(seed, _HELD_OUT, 0)))
    aside, rest = order[:count].sort().values, order[count:].sort().values
    return {**data, "train": _taken(train, rest)}, _taken(train, aside)


def check_fixed(method: Method, anchors: torch.Tensor | None) -> None:
    """Raise `SpecError` where an objective that learns from a further batch for each preference would see others at
    each step: what it learned for one would be used for the next, and the dial would do nothing."""
    if method.objective.held_out_share is not None and anchors is None:
        raise SpecError(
            "solver.objective: learns something of its own for each preference, but this solver draws others at each "
            "step; use it with single, multipoint or stl"
        )


def held_out_notes(held_out: Dataset | None) -> list[str]:
    """What to tell of samples that are set aside, a sentence each."""
    if held_out is None:
        return []
    return [f"{len(cast(Sized, held_out)):,} training samples are held out for the objective: no step descends them"]


def _taken(data: Dataset, rows: torch.Tensor) -> Dataset:
    return data.take(rows) if isinstance(data, TensorData) else torch.utils.data.Subset(data, rows.tolist())
