"""Data: tensors in memory, batches by selection or by loading, and .npz files."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from moframework.config import OptionError, build
from moframework.data import (
    NPZ,
    SPLITS,
    DataSource,
    TensorData,
    batches,
    check_split,
    gathered,
    loaded_items,
    random_split,
)
from moframework.errors import DataError


def numbers(n: int = 10) -> TensorData:
    return TensorData(torch.arange(n * 3.0).reshape(n, 3), {"class": torch.arange(n), "twice": 2.0 * torch.arange(n)})


class Items(torch.utils.data.Dataset[Any]):
    """A data set that is no tensor: items are made when asked for, with noise from every source of random numbers."""

    def __init__(self, n: int = 10, noise: float = 0.0) -> None:
        self.n = n
        self.noise = noise
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Any]]:
        self.asked.append(index)
        noise = torch.tensor([float(torch.rand(())), np.random.rand(), random.random()])  # noqa: NPY002
        return torch.arange(3.0) + 3 * index + self.noise * noise, {"class": index, "twice": torch.tensor(2.0 * index)}


def test_tensor_data() -> None:
    data = numbers()
    x, targets = data[4]
    assert x.tolist() == [12.0, 13.0, 14.0]
    assert {key: value.item() for key, value in targets.items()} == {"class": 4, "twice": 8.0}
    assert len(data) == 10
    assert data.nbytes == 10 * (3 * 4 + 8 + 4)
    taken = data.take(torch.tensor([7, 2]))
    assert taken.targets["class"].tolist() == [7, 2]
    assert taken.inputs[1].tolist() == data.inputs[2].tolist()
    assert data.to("cpu").inputs is data.inputs
    assert data.device == torch.device("cpu")
    assert data.to("meta").device == torch.device("meta")


def test_tensor_data_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="10 inputs, but 9 targets 'class'"):
        TensorData(torch.zeros(10, 3), {"class": torch.zeros(9)})
    with pytest.raises(ValueError, match="inputs are on cpu, but targets 'class' on meta"):
        TensorData(torch.zeros(10, 3), {"class": torch.zeros(10, device="meta")})


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


class Pictures(torch.utils.data.Dataset[Any]):
    """Images of 8 bits, made when asked for."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, int]]:
        return self.pixels[index], {"y": index}


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


class Wrong(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        return torch.zeros(2), torch.zeros(())


def test_items_of_another_form_are_refused() -> None:
    with pytest.raises(DataError, match=r"items of Wrong must be .* but item 0 is a tuple of Tensor, Tensor"):
        next(batches(Wrong(), 2, order=None, device="cpu"))


def test_splits() -> None:
    assert [check_split(name) for name in SPLITS] == ["train", "val", "test"]
    with pytest.raises(ValueError, match="no split 'tests'; allowed: train, val, test; did you mean 'test'"):
        check_split("tests")


def test_rows_are_dealt_out_once_and_alike() -> None:
    parts = random_split(100, (0.5, 0.2, 0.3), 0)
    assert np.bincount(parts).tolist() == [50, 20, 30]
    assert np.array_equal(parts, random_split(100, (0.5, 0.2, 0.3), 0))
    assert not np.array_equal(parts, random_split(100, (0.5, 0.2, 0.3), 1))


def save(path: Path, **arrays: Any) -> NPZ:
    np.savez(path, **arrays)
    return NPZ(path=path)


def test_npz_with_its_own_split(tmp_path: Path) -> None:
    x = np.arange(12.0).reshape(6, 2)
    source = save(tmp_path / "a.npz", inputs=x, price=x[:, 0], sold=x[:, 1] >= 5, split=np.array([0, 2, 0, 1, 0, 2]))
    assert source.input_shape == (2,)
    train = source.split("train")
    assert train.inputs.tolist() == x[[0, 2, 4]].tolist()
    assert train.inputs.dtype == train.targets["price"].dtype == torch.float32
    assert train.targets["sold"].tolist() == [0, 1, 1]
    assert train.targets["sold"].dtype == torch.int64
    assert set(train.targets) == {"price", "sold"}
    assert [len(source.split(split)) for split in SPLITS] == [3, 1, 2]
    assert build(DataSource, {"name": "npz", "path": str(tmp_path / "a.npz")}) == source  # type: ignore[type-abstract]


def test_npz_split_by_fractions(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    save(path, inputs=np.zeros((100, 2)), row=np.arange(100))

    def rows(seed: int) -> list[list[int]]:
        source = NPZ(path=path, fractions=(0.5, 0.2, 0.3), seed=seed)
        return [source.split(split).targets["row"].tolist() for split in SPLITS]

    parts = rows(0)
    assert [len(part) for part in parts] == [50, 20, 30]
    assert sorted(row for part in parts for row in part) == list(range(100))
    assert parts == rows(0)
    assert parts != rows(1)
    with pytest.raises(DataError, match="no samples for 'val'"):
        NPZ(path=path, fractions=(0.5, 0.0, 0.5)).split("val")
    with pytest.raises(OptionError, match=r"add up to 1, but add up to 0\.9"):
        NPZ(path=path, fractions=(0.5, 0.2, 0.2))


def test_npz_images(tmp_path: Path) -> None:
    images = np.array([[[[0, 51], [255, 102]]]] * 3, dtype=np.uint8)
    source = save(tmp_path / "a.npz", inputs=images, label=np.array([0, 1, 2], np.uint8), split=np.array([0, 1, 2]))
    assert source.input_shape == (1, 2, 2)
    assert source.split("val").inputs.dtype == torch.uint8
    ((x, _),) = batches(source.split("val"), 1, order=None, device="cpu")
    torch.testing.assert_close(x, torch.tensor([[[[0.0, 0.2], [1.0, 0.4]]]]))
    assert source.split("test").targets["label"].tolist() == [2]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros(3)}, "must hold an array `inputs` and at least one target, but holds x"),
        ({"inputs": np.zeros(3), "split": np.zeros(3)}, "at least one target"),
        ({"inputs": np.zeros((3, 2)), "y": np.zeros(4)}, r"`inputs` is \(3, 2\), but `y` is \(4,\)"),
        ({"inputs": np.zeros((3, 2)), "y": np.array(["a", "b", "c"])}, "`y` has type <U1; numbers are needed"),
        (
            {"inputs": np.array([[0.0], [np.nan], [1.0]]), "y": np.zeros(3)},
            r"`inputs` is not finite, first at \(1, 0\)",
        ),
        ({"inputs": np.zeros((3, 2)), "y": np.zeros(3), "split": np.array([0, 1, 3])}, "`split` must hold 0"),
        ({"inputs": np.zeros((3, 2)), "y": np.array([None, 1, 2])}, "not a .npz file of plain arrays"),
    ],
)
def test_npz_files_that_cannot_be_used(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    source = save(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=words):
        source.split("train")


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(DataError, match=r"a\.npz cannot be read: No such file"):
        NPZ(path=path).split("train")
    path.write_bytes(b"text")
    with pytest.raises(DataError, match=r"not a \.npz file"):
        NPZ(path=path).split("train")
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match="holds a single array"):
        NPZ(path=path).split("train")


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    source = save(path, inputs=np.zeros((3, 2)), y=np.zeros(3), split=np.zeros(3, int))
    assert len(source.split("train")) == 3
    save(path, inputs=np.zeros((4, 2)), y=np.zeros(4), split=np.zeros(4, int))
    assert len(source.split("train")) == 4
