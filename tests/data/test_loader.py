"""Batches by selection and by loading: order, skipping, workers, random items, images."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from moframework.data import (
    TensorData,
    batches,
    gathered,
    loaded_items,
)
from moframework.errors import DataError
from tests.data.sets import Items, Pictures, Wrong, numbers


@pytest.mark.parametrize("data", [numbers(), Items()], ids=["tensors", "items"])
@pytest.mark.parametrize("order", [None, [3, 1, 4, 0, 5, 9, 2], [], [2, 2, 2]])
@pytest.mark.parametrize("skip", [0, 1, 2, 9])
@pytest.mark.parametrize("drop_last", [False, True])
def test_batches(data: Any, order: Sequence[int] | None, skip: int, drop_last: bool) -> None:
    wanted = list(range(10)) if order is None else list(order)
    expected = [wanted[i : i + 4] for i in range(0, len(wanted), 4)]
    expected = [batch for batch in expected if len(batch) == 4 or not drop_last][skip:]
    chosen = None if order is None else torch.tensor(order, dtype=torch.long)
    found = list(batches(data, 4, order=chosen, device="cpu", skip=skip, drop_last=drop_last))
    assert [targets["class"].tolist() for _, targets in found] == expected
    for x, targets in found:
        torch.testing.assert_close(x, 3.0 * targets["class"].unsqueeze(1) + torch.arange(3.0))
        torch.testing.assert_close(targets["twice"], 2.0 * targets["class"])


def test_skipped_batches_are_not_loaded() -> None:
    data = Items()
    list(batches(data, 4, order=torch.arange(9, -1, -1), device="cpu", skip=2))
    assert data.asked == [1, 0]


@pytest.mark.parametrize("workers", [0, 2])
def test_random_items_depend_on_seed_and_position_only(workers: int) -> None:
    def draw(seed: int | tuple[int, ...], skip: int = 0, workers: int = 0) -> list[Tensor]:
        data = Items(noise=1.0)
        return [x for x, _ in batches(data, 4, order=None, device="cpu", skip=skip, seed=seed, workers=workers)]

    whole = draw((5, 1))
    torch.testing.assert_close(draw((5, 1), workers=workers), whole, rtol=0, atol=0)
    torch.testing.assert_close(draw((5, 1), skip=1, workers=workers), whole[1:], rtol=0, atol=0)
    other = draw((5, 2), workers=workers)
    assert all((a != b).all() for a, b in zip(other, whole, strict=True))  # noise of torch, numpy and random
    assert not torch.equal(whole[0] % 1, whole[1] % 1)


def test_loading_leaves_the_callers_random_state_alone() -> None:
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    expected = torch.rand(1), np.random.rand(), random.random()  # noqa: NPY002
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    list(batches(Items(noise=1.0), 4, order=None, device="cpu"))
    assert (torch.rand(1), np.random.rand(), random.random()) == expected  # noqa: NPY002


@pytest.mark.parametrize("workers", [0, 1])
def test_images_of_8_bits_become_numbers_in_a_batch(workers: int) -> None:
    pixels = torch.arange(5 * 3 * 2 * 2, dtype=torch.uint8).reshape(5, 3, 2, 2) * 4
    in_memory, loaded = TensorData(pixels, {"y": torch.arange(5)}), Pictures(pixels)
    for order in (None, torch.tensor([3, 0])):
        expected = pixels.float() / 255 if order is None else pixels[order].float() / 255
        for data in (in_memory, loaded):
            found = torch.cat([x for x, _ in batches(data, 2, order=order, device="cpu", workers=workers)])
            assert found.dtype == torch.float32
            assert torch.equal(found, expected)
    assert in_memory[0][0].dtype == torch.uint8
    assert in_memory.nbytes == 5 * (12 + 8)


def test_gathered_data_is_read_once_and_stays_as_it_is() -> None:
    items = Items()
    data = gathered(items, batch_size=4)
    assert items.asked == list(range(10))
    assert torch.equal(data.inputs, numbers().inputs)
    assert torch.equal(data.targets["twice"], numbers().targets["twice"])
    assert gathered(data) is data
    assert gathered(Pictures(torch.zeros(3, 1, 2, 2, dtype=torch.uint8))).inputs.dtype == torch.uint8


def test_single_items_depend_on_the_seed_alone() -> None:
    x, targets = loaded_items(Items(noise=1.0), [4, 2], seed=1)
    again, _ = loaded_items(Items(noise=1.0), [4, 2], seed=1)
    other, _ = loaded_items(Items(noise=1.0), [4, 2], seed=2)
    assert targets["class"].tolist() == [4, 2]
    assert torch.equal(x, again)
    assert not torch.equal(x, other)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("place", ["cpu", "cuda"])
def test_batches_come_on_the_device(place: str) -> None:
    for data in (numbers().to(place), Items()):
        for x, targets in batches(data, 4, order=torch.arange(10), device="cuda"):
            assert x.is_cuda
            assert all(target.is_cuda for target in targets.values())


def test_items_of_another_form_are_refused() -> None:
    with pytest.raises(DataError, match=r"items of Wrong must be .* but item 0 is a tuple of Tensor, Tensor"):
        next(batches(Wrong(), 2, order=None, device="cpu"))


class Broken(Items):
    """Fails at one item, with whatever error it is given."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def __getitem__(self, index: int) -> Any:
        if index == 5:
            raise self.error
        return super().__getitem__(index)


class Unpicklable(ValueError):
    def __init__(self, text: str, more: object) -> None:
        super().__init__(f"{text} and {more}")
        self.hold = lambda: more


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (DataError("row 5 has no label"), DataError, "row 5 has no label"),
        (KeyError("label"), KeyError, "'label'"),
        (Unpicklable("a", "b"), Exception, "a and b"),
    ],
)
def test_an_error_of_the_data_is_raised_as_it_was(
    workers: int, error: Exception, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as caught:
        list(batches(Broken(error), 4, order=None, device="cpu", workers=workers))
    text = str(caught.value)
    assert text == words or (isinstance(error, Unpicklable) and text in (words, f"Unpicklable: {words}"))
    if workers:
        assert "in __getitem__" in str(caught.value.__cause__)
