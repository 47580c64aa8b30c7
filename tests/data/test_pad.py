"""Padding: what the rules of the docstring say, sample by sample."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from moframework.config import build
from moframework.data import Collate
from moframework.data.collate import ItemFault
from moframework.data.pad import Pad
from moframework.errors import DataError, SpecError


def items(*lengths: int, **further: Any) -> list[Any]:
    """Texts of these lengths, with as many tags."""
    return [
        (
            {"ids": torch.arange(1, n + 1), "age": torch.tensor(0.5), **further},
            {"topic": torch.tensor(n), "tags": torch.ones(n)},
        )
        for n in lengths
    ]


def single(*inputs: Tensor) -> list[Any]:
    return [(x, {"y": torch.tensor(1.0)}) for x in inputs]


def no_tags(given: list[Any]) -> list[Any]:
    return [(x, {"topic": targets["topic"]}) for x, targets in given]


def test_the_longest_of_the_batch_is_the_size() -> None:
    x, targets = Pad(value=7).batch(no_tags(items(1, 3)))
    assert x["ids"].tolist() == [[1, 7, 7], [1, 2, 3]]
    assert x["ids"].dtype == torch.int64
    assert x["age"].tolist() == [0.5, 0.5]
    assert targets["topic"].tolist() == [1, 3]


def test_a_mask_tells_what_is_no_padding() -> None:
    for side, expected in (("right", [[1, 0, 0], [1, 1, 1]]), ("left", [[0, 0, 1], [1, 1, 1]])):
        for type_, dtype in (("bool", torch.bool), ("int64", torch.int64), ("float32", torch.float32)):
            pad = Pad(entries="ids", mask="mask", side=side, mask_type=type_)  # type: ignore[arg-type]
            x, _ = pad.batch(no_tags(items(1, 3)))
            assert x["mask"].dtype == dtype
            assert x["mask"].int().tolist() == expected
            assert ((x["ids"] > 0) == x["mask"].bool()).all()


def test_targets_are_padded_where_they_are_named() -> None:
    _, targets = Pad(targets=("tags",)).batch(items(1, 2))
    assert targets["tags"].tolist() == [[1, -100], [1, 1]]
    with pytest.raises(DataError, match="no target 'tag'"):
        Pad(targets=("tag",)).batch(items(1, 2))


def test_sizes_may_be_fixed_and_rounded() -> None:
    given = no_tags(items(1, 3))
    assert Pad(entries="ids", multiple_of=4).batch(given)[0]["ids"].shape == (2, 4)
    x, _ = Pad(entries="ids", length=2, truncate=True, mask="mask").batch(given)
    assert x["ids"].tolist() == [[1, 0], [1, 2]]
    assert x["mask"].tolist() == [[True, False], [True, True]]
    assert Pad(entries="ids", length=5).batch(given[:1])[0]["ids"].shape == (1, 5)
    with pytest.raises(ItemFault, match="item 1 of a batch: the input 'ids' is 3 long, but length is 2"):
        Pad(entries="ids", length=2).batch(given)


def test_every_dimension_in_which_samples_differ_is_filled() -> None:
    x, _ = Pad(value=-1).batch(single(torch.zeros(2, 1, 3), torch.zeros(2, 2, 1)))
    assert x.shape == (2, 2, 2, 3)
    assert x[0, :, 1].eq(-1).all()
    assert x[1, :, :, 1:].eq(-1).all()
    assert x.eq(0).sum() == 2 * 3 + 2 * 2
    bools, _ = Pad().batch(single(torch.tensor([True]), torch.tensor([True, True])))
    assert bools.tolist() == [[True, False], [True, True]]


def test_each_entry_has_its_own_value() -> None:
    given = [((torch.ones(n), {"b": torch.ones(n, 2)}), {"y": torch.tensor(0)}) for n in (1, 2)]
    x, _ = Pad(value={"0": 5, "1.b": 6}).batch(given)
    assert x[0].tolist() == [[1, 5], [1, 1]]
    assert x[1]["b"][0].tolist() == [[1, 1], [6, 6]]


@pytest.mark.parametrize(
    ("pad", "given", "words"),
    [
        (Pad(entries="idss"), items(1, 2), r"no entry 'idss'; did you mean 'ids'\? they have ids, age"),
        (Pad(value={"id": 1}), items(1, 2), "value: inputs have no entry 'id'"),
        (Pad(entries="ids", mask="age"), no_tags(items(1, 2)), "have an entry 'age' already"),
        (Pad(entries="", mask="m"), single(torch.ones(1), torch.ones(2)), "that are a dict, but they are a Tensor"),
        (Pad(entries="age"), items(1, 2), r"'age' has the shape \(\)"),
        (Pad(), [*items(1), ({"ids": torch.ones(1)}, {})], "item 1 of a batch: the input has the entries ids, but"),
        (Pad(), [({"a": "text"}, {})], "the input 'a' cannot be made a tensor"),
        (Pad(), single(torch.ones(2), torch.ones(2, 2)), "needs one number of dimensions"),
    ],
)  # fmt: skip
def test_what_cannot_be_padded(pad: Pad, given: list[Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        pad.batch(given)


def test_a_mask_of_entries_of_several_lengths() -> None:
    given = [({"a": torch.ones(2), "b": torch.ones(n)}, {"y": torch.tensor(0)}) for n in (2, 3)]
    with pytest.raises(ItemFault, match="item 1 of a batch: the input 'b' is 3 long, but 'a' 2"):
        Pad(entries=("a", "b"), mask="mask").batch(given)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mask": "m"}, "name them in `entries`"),
        ({"truncate": True}, "`length`, which is missing"),
        ({"length": 5, "multiple_of": 2}, "multiple of 2"),
        ({"length": 0}, "at least 1"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        build(Collate, {"name": "pad", **options})  # type: ignore[type-abstract]
