"""Hashes of contents: what changes them and what does not, for tensors and for data that is loaded."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import moframework.data.fingerprint
from moframework.data import TensorData
from moframework.data.fingerprint import contents


def tensors(n: int = 6) -> TensorData:
    return TensorData(torch.arange(2.0 * n).reshape(n, 2), {"a": torch.arange(n), "b": torch.zeros(n)})


class Items(torch.utils.data.Dataset[Any]):
    def __init__(self, n: int = 100, shift: float = 0.0) -> None:
        self.n, self.shift, self.asked = n, shift, list[int]()

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, int]]:
        self.asked.append(index)
        return torch.rand(3) + self.shift, {"y": index}


def changed(data: TensorData, what: str) -> TensorData:
    inputs, targets = data.inputs.clone(), {key: value.clone() for key, value in data.targets.items()}
    if what == "pixel":
        inputs[-1, -1] += 1
    elif what == "target":
        targets["a"][3] = 7
    elif what == "key":
        targets = {"a": targets["a"], "c": targets["b"]}
    elif what == "type":
        targets["a"] = targets["a"].to(torch.int32)
    elif what == "order":
        inputs, targets = inputs.flip(0), {key: value.flip(0) for key, value in targets.items()}
    elif what == "shape":
        inputs = inputs.unsqueeze(1)
    else:
        return TensorData(inputs[:-1], {key: value[:-1] for key, value in targets.items()})
    return TensorData(inputs, targets)


@pytest.mark.parametrize("what", ["pixel", "target", "key", "type", "order", "shape", "number"])
def test_any_change_shows(what: str) -> None:
    assert contents(tensors()) == contents(tensors())
    assert contents(changed(tensors(), what)) != contents(tensors())


def test_layout_and_order_of_keys_do_not_show() -> None:
    data = tensors()
    transposed = TensorData(data.inputs.t().contiguous().t(), dict(reversed(data.targets.items())))
    assert not transposed.inputs.is_contiguous()
    assert contents(transposed) == contents(data)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.bfloat16, torch.float64])
def test_any_type(dtype: torch.dtype) -> None:
    one = TensorData(torch.tensor([[0], [1]], dtype=dtype), {"y": torch.zeros(2)})
    other = TensorData(torch.tensor([[1], [0]], dtype=dtype), {"y": torch.zeros(2)})
    assert len({contents(one), contents(other)}) == 2
    assert len(contents(one)) == 16


def test_large_tensors_are_looked_at_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tensors(1000)
    whole = contents(data)
    monkeypatch.setattr(moframework.data.fingerprint, "_HASHED_BYTES", data.nbytes // 10)
    part = contents(data)
    assert part != whole
    assert contents(changed(data, "pixel")) != part  # the last sample is always among them
    assert contents(changed(data, "number")) != part
    assert contents(changed(data, "order")) != part


def test_data_that_is_loaded_is_looked_at_in_few_places() -> None:
    items = Items()
    torch.manual_seed(1)
    first = contents(items)
    assert len(items.asked) == 32
    assert (items.asked[0], items.asked[-1]) == (0, 99)
    torch.manual_seed(2)
    assert contents(Items()) == first  # random items are drawn under a fixed seed
    assert contents(Items(99)) != first
    assert contents(Items(shift=1.0)) != first


def test_data_without_samples() -> None:
    assert contents(Items(0)) == contents(Items(0))
    assert contents(TensorData(torch.zeros(0, 2), {})) != contents(TensorData(torch.zeros(0, 3), {}))


def test_data_may_know_better() -> None:
    class Known(Items):
        known_contents = "mine"

    assert contents(Known()) == "mine"
    assert contents(TensorData(torch.zeros(1), {}, "mine")) == "mine"
