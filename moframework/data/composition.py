"""How batches are composed of several data sets, and what an epoch of them is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from attrs import frozen
from torch import Tensor

from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.errors import DataError, meant

__all__ = ["SetBatches", "SetEpochs"]

_WIDEST = 1000


@config
class SetBatches:
    """How batches are composed of several data sets, and what an epoch is.

    - `by: ratio`: every batch has samples of all sets. The sets take turns sample by sample, so that each group of a
      divided batch (`batch: split`), and each process's part of it, has about their shares too.
    - `by: turn`: every batch is of one set, and the sets take turns batch by batch. A step then knows the tasks of one
      set alone: what weighs several tasks against each other has nothing to weigh. The last batch of a set is filled up
      with samples of its next pass.

    BatchNorm layers, in training, normalize with the statistics of the batch: of all sets with `ratio`, of one at a
    time with `turn`. Their running statistics, with which networks are evaluated, are averages over all sets in both.

    A set that is through before an epoch ends begins again in a new order.
    """

    by: Literal["ratio", "turn"] = option("ratio", help="whether a batch has samples of all sets, or of one in turn")
    ratio: Literal["equal", "sizes"] | dict[str, float] = option(
        "equal",
        help="shares of the sets in the samples of a batch, or with `turn` in the batches of an epoch: the same for "
        "each; as many as each has samples, so that an epoch sees each sample once; or a number for each set",
    )
    epoch: Literal["longest", "shortest"] = option(
        "longest", help="when an epoch ends: when every set was seen once, or when the first one is through"
    )

    def __attrs_post_init__(self) -> None:
        shares = self.ratio if isinstance(self.ratio, Mapping) else {}
        for name, share in shares.items():
            if not (share > 0 and math.isfinite(share)):
                raise OptionError(f"ratio.{name} must be greater than 0, but it is {share:g}", f"ratio.{name}")
        if shares and max(shares.values()) > _WIDEST * min(shares.values()):
            raise OptionError(
                f"ratio runs from {min(shares.values()):g} to {max(shares.values()):g}, but the largest may be "
                f"{_WIDEST:,} times the smallest: an epoch repeats a set that often",
                "ratio",
            )

    def check(self, sets: Sequence[str]) -> None:
        """Raise `OptionError` where `ratio` does not have a number for each of these sets and no others."""
        if not isinstance(self.ratio, Mapping):
            return
        for name in self.ratio:
            if name not in sets:
                raise OptionError(
                    f"ratio.{name} is no set; {meant(name, sets)}sets: {', '.join(sets)}", f"ratio.{name}"
                )
        missing = [name for name in sets if name not in self.ratio]
        if missing:
            raise OptionError(f"ratio needs a number for each set, but has none for {', '.join(missing)}", "ratio")


@frozen
class SetEpochs:
    """The epochs of a data set that is several, one after the other; see `moframework.data.Epochs`.

    Args:
        sizes: of the sets, in their order, at least 1 each.
        batches: how they are composed; its `ratio` fits the sets (`SetBatches.check`).

    >>> epochs = SetEpochs({"left": 4, "right": 2}, SetBatches())
    >>> order = epochs.order(2, torch.Generator().manual_seed(0))
    >>> (order < 4).int().tolist()
    [1, 0, 1, 0, 1, 0, 1, 0]
    """

    sizes: Mapping[str, int]
    batches: SetBatches

    def size(self, batch_size: int) -> int:
        """Samples of an epoch.

        Raises:
            DataError: with `by: ratio`, a set has no sample in some batches.
        """
        if self.batches.by == "turn":
            return batch_size * sum(self.slots(batch_size).values())
        counts = self.slots(batch_size)
        total = sum(counts.values())
        name = min(counts, key=lambda name: counts[name])
        if min(batch_size, total) * counts[name] < total:
            raise DataError(
                f"problem.batches: set '{name}' has a share of {counts[name] / total:.3g} of a batch of {batch_size}, "
                f"less than one sample: raise training.batch_size to {math.ceil(total / counts[name])}, give it a "
                "larger ratio, or take by: turn"
            )
        return total

    def order(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Samples of an epoch by their place when the sets lie one after the other, (size,)."""
        slots = self.slots(batch_size)
        length = batch_size if self.batches.by == "turn" else 1
        owner = _interleaved(list(slots.values())).repeat_interleave(length)
        order, before = torch.empty(len(owner), dtype=torch.int64), 0
        for place, (name, size) in enumerate(self.sizes.items()):
            order[owner == place] = before + _passes(size, slots[name] * length, generator)
            before += size
        return order

    def slots(self, batch_size: int) -> dict[str, int]:
        """How often an epoch takes from each set: samples with `by: ratio`, batches with `by: turn`."""
        turn = self.batches.by == "turn"
        once = {name: -(-size // batch_size) if turn else size for name, size in self.sizes.items()}
        if self.batches.ratio == "sizes":
            return once
        shares = self.batches.ratio if isinstance(self.batches.ratio, Mapping) else dict.fromkeys(once, 1.0)
        longest = self.batches.epoch == "longest"
        decides = (max if longest else min)(once, key=lambda name: once[name] / shares[name])
        per_share = once[decides] / shares[decides]
        rounded = math.ceil if longest else math.floor
        # What a product of shares misses of a whole number by rounding is no sample more or less.
        return {name: max(1, rounded(round(per_share * shares[name], 6))) for name in once}

    def describe(self, batch_size: int) -> list[str]:
        """For people: how a batch and an epoch are composed; a line each."""
        slots, total = self.slots(batch_size), self.size(batch_size)
        if self.batches.by == "turn":
            parts = ", ".join(f"{count:,} of {name}" for name, count in slots.items())
            lines, seen = [f"a batch is of one set, in turn: {parts} in an epoch"], batch_size
        else:
            parts = ", ".join(f"{name} {min(batch_size, total) * count / total:.4g}" for name, count in slots.items())
            lines, seen = [f"a batch of {min(batch_size, total)} has of each set: {parts}"], 1
        times = ", ".join(f"{name} {slots[name] * seen / size:.3g} times" for name, size in self.sizes.items())
        return [*lines, f"an epoch of {total:,} samples sees {times}"]


def _interleaved(counts: Sequence[int]) -> Tensor:
    """Places 0, …, k − 1, each as often as `counts` says, evenly mixed: (Σ counts,). However the result is cut, a part
    of it has of each about its share.

    Place s comes at the times (j + ½) / counts[s] of a unit of time; those at one time in the order of the places.
    """
    times = torch.cat([(torch.arange(count, dtype=torch.float64) + 0.5) / count for count in counts])
    owners = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return owners[times.argsort(stable=True)]


def _passes(size: int, count: int, generator: torch.Generator) -> Tensor:
    """Samples of one set, (count,): all in an order of chance, then all in another, as often as needed."""
    passes = [torch.randperm(size, generator=generator) for _ in range(-(-count // size))]
    return torch.cat(passes)[:count]
