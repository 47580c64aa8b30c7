"""Batches of several sets: their shares, their turns, what an epoch is."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor

from moframework.config import build
from moframework.config.options import OptionError
from moframework.data.composition import SetBatches, SetEpochs
from moframework.errors import DataError, SpecError

SIZES = {"left": 60, "right": 30, "top": 10}


def epochs(sizes: dict[str, int] | None = None, **options: Any) -> SetEpochs:
    return SetEpochs(SIZES if sizes is None else sizes, SetBatches(**options))


def ordered(made: SetEpochs, batch_size: int, epoch: int = 0) -> Tensor:
    return made.order(batch_size, torch.Generator().manual_seed(epoch))


def owners(made: SetEpochs, order: Tensor) -> list[str]:
    ends = torch.tensor(list(made.sizes.values())).cumsum(0)
    return [list(made.sizes)[int(place)] for place in torch.searchsorted(ends, order, right=True)]


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ({}, {"left": 60, "right": 60, "top": 60}),
        ({"epoch": "shortest"}, {"left": 10, "right": 10, "top": 10}),
        ({"ratio": "sizes"}, SIZES),
        ({"ratio": "sizes", "epoch": "shortest"}, SIZES),
        ({"ratio": {"left": 1, "right": 2, "top": 1}}, {"left": 60, "right": 120, "top": 60}),
        ({"ratio": {"left": 0.3, "right": 0.6, "top": 0.1}, "epoch": "shortest"}, {"left": 15, "right": 30, "top": 5}),
    ],
)
def test_an_epoch_by_ratio(options: dict[str, Any], counts: dict[str, int]) -> None:
    made = epochs(**options)
    order = ordered(made, 10 if "ratio" not in options else 40)
    assert made.size(40) == len(order) == sum(counts.values())
    assert Counter(owners(made, order)) == counts
    times = torch.bincount(order, minlength=100)
    for name, part in zip(made.sizes, times.split(list(SIZES.values())), strict=True):
        assert int(part.max() - part.min()) <= 1, f"{name}: all once before any comes again"


@pytest.mark.parametrize("ratio", ["equal", "sizes", {"left": 5, "right": 3, "top": 1}])
def test_every_cut_has_of_each_set_about_its_share(ratio: Any) -> None:
    made = epochs(ratio=ratio)
    found = owners(made, ordered(made, 40))
    whole = Counter(found)
    for size in (7, 20, 64):
        for start in range(0, len(found) - size, 3):
            cut = Counter(found[start : start + size])
            for name, count in whole.items():
                assert abs(cut[name] - size * count / len(found)) < 2


def test_a_batch_of_two_equal_sets_has_half_of_each() -> None:
    made = epochs({"left": 50, "right": 35})
    for batch in ordered(made, 16).split(16):
        parts = Counter(owners(made, batch))
        assert parts["left"] == parts["right"]


@pytest.mark.parametrize(
    ("options", "turns"),
    [
        ({}, {"left": 4, "right": 4, "top": 4}),
        ({"epoch": "shortest"}, {"left": 1, "right": 1, "top": 1}),
        ({"ratio": "sizes"}, {"left": 4, "right": 2, "top": 1}),
        ({"ratio": {"left": 2, "right": 1, "top": 1}}, {"left": 4, "right": 2, "top": 2}),
    ],
)
def test_batches_in_turn_are_of_one_set_each(options: dict[str, Any], turns: dict[str, int]) -> None:
    made = epochs(by="turn", **options)
    order = ordered(made, 16)
    assert made.size(16) == len(order) == 16 * sum(turns.values())
    batches = [owners(made, batch) for batch in order.split(16)]
    assert all(len(set(batch)) == 1 for batch in batches)
    assert Counter(batch[0] for batch in batches) == turns
    assert len({batch[0] for batch in batches[:3]}) >= 2, "no set has all its turns first"
    if options.get("epoch") != "shortest":
        assert set(order.tolist()) == set(range(100)), "an epoch sees every sample"


def test_an_epoch_depends_on_its_generator_alone() -> None:
    made = epochs()
    assert torch.equal(ordered(made, 8, epoch=3), ordered(made, 8, epoch=3))
    first, second = ordered(made, 8, epoch=3), ordered(made, 8, epoch=4)
    assert not torch.equal(first, second)
    assert owners(made, first) == owners(made, second)


def test_a_share_of_less_than_a_sample_is_refused() -> None:
    made = epochs({"left": 1000, "right": 10}, ratio="sizes")
    with pytest.raises(DataError, match=r"set 'right' has a share of 0.0099 of a batch of 64.*batch_size to 101"):
        made.size(64)
    assert made.size(101) == 1010
    assert epochs({"left": 1000, "right": 10}, ratio="sizes", by="turn").size(64) == 64 * 17


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ratio": {"left": 0, "right": 1, "top": 1}}, "ratio.left: must be greater than 0"),
        ({"ratio": {"left": float("nan")}}, "ratio.left: must be greater than 0, but it is nan"),
        ({"ratio": {"left": 1e-300, "right": 1.0}}, "ratio: runs from 1e-300 to 1, but the largest may be 1,000 times"),
        ({"by": "turns"}, "by: must be 'ratio' or 'turn', but it is 'turns'; did you mean 'turn'"),
        ({"ratio": "size"}, "did you mean 'sizes'"),
    ],
)
def test_options_that_cannot_be(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as error:
        build(SetBatches, given)
    assert words in str(error.value)


def test_a_ratio_fits_the_sets() -> None:
    with pytest.raises(OptionError, match=r"ratio\.lefd is no set; did you mean 'left'\? sets: left, right"):
        SetBatches(ratio={"lefd": 1, "right": 1}).check(["left", "right"])
    with pytest.raises(OptionError, match="has none for right"):
        SetBatches(ratio={"left": 1}).check(["left", "right"])
    SetBatches(ratio={"left": 1, "right": 2}).check(["left", "right"])


def test_what_people_are_told() -> None:
    assert epochs().describe(12) == [
        "a batch of 12 has of each set: left 4, right 4, top 4",
        "an epoch of 180 samples sees left 1 times, right 2 times, top 6 times",
    ]
    assert epochs(by="turn", ratio="sizes").describe(16) == [
        "a batch is of one set, in turn: 4 of left, 2 of right, 1 of top in an epoch",
        "an epoch of 112 samples sees left 1.07 times, right 1.07 times, top 1.6 times",
    ]
