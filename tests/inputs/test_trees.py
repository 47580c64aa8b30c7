"""Walking through trees of tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from moframework.inputs.trees import (
    children,
    count_samples,
    is_tree,
    mapped,
    named_leaves,
    replaced_leaf,
    select_samples,
    signature,
    split_samples,
    tensor_leaves,
)
from tests.inputs.kinds import FORMS, Output, Pair, Sample, inputs


@dataclass
class Both(dict):  # type: ignore[type-arg]
    """A mapping that is a dataclass, as ModelOutput of transformers is."""

    ids: Tensor
    age: Tensor | None = None

    def __post_init__(self) -> None:
        self.update({key: value for key, value in (("ids", self.ids), ("age", self.age)) if value is not None})


@pytest.mark.parametrize("form", [form for form in FORMS if form != "flat"])
def test_every_kind_is_walked_alike(form: str) -> None:
    x = inputs(form)
    ids, mask, age = inputs("positions")
    assert [leaf.dtype for leaf in tensor_leaves(x)] == [torch.int64, torch.bool, torch.float32]
    assert count_samples(x) == 8
    assert is_tree(x)
    for samples in (slice(2, 5), torch.tensor([4, 0])):
        for found, whole in zip(tensor_leaves(select_samples(x, samples)), (ids, mask, age), strict=True):
            assert torch.equal(found, whole[samples])
    groups = split_samples(x, 3)
    assert [count_samples(group) for group in groups] == [3, 3, 2]
    assert all(type(group) is type(mapped(lambda leaf: leaf, x)) for group in groups)
    for k, whole in enumerate((ids, mask, age)):
        assert torch.equal(torch.cat([tensor_leaves(group)[k] for group in groups]), whole)
    assert signature(x) == signature(mapped(torch.clone, x))
    assert signature(x) != signature(select_samples(x, slice(0, 3)))


def test_kinds_are_kept() -> None:
    one = torch.ones(2)
    assert type(mapped(torch.neg, {"a": one})) is dict
    assert type(mapped(torch.neg, Output(a=one))) is dict  # a mapping of another class becomes a plain one
    assert mapped(torch.neg, [one])[0].tolist() == [-1, -1]
    assert isinstance(mapped(torch.neg, [one]), list)
    pair = mapped(torch.neg, Pair((one,), one))
    assert isinstance(pair, Pair)
    assert pair.text[0].tolist() == [-1, -1]
    sample = mapped(torch.neg, Sample(one, one, one, note=None))
    assert isinstance(sample, Sample)
    assert sample.note is None
    both: Any = mapped(torch.neg, Both(ids=one))
    assert isinstance(both, Both)
    assert both["ids"].tolist() == both.ids.tolist() == [-1, -1]
    assert both.age is None


def test_a_leaf_is_replaced_by_its_path() -> None:
    x = {"a.b": torch.ones(1), "c": (torch.ones(1), {"d": torch.ones(1)})}
    assert list(named_leaves(x)) == ["a.b", "c.0", "c.1.d"]
    for path in named_leaves(x):
        changed = named_leaves(replaced_leaf(x, path, torch.neg))
        assert {p for p, leaf in changed.items() if leaf.item() < 0} == {path}
    assert replaced_leaf(torch.ones(1), "", torch.neg).item() == -1


@pytest.mark.parametrize("found", [3, "text", {}, {"a": 3}, [torch.ones(1), "b"], None, Sample])
def test_what_is_no_tree(found: Any) -> None:
    assert not is_tree(found)
    assert children("text") is None
