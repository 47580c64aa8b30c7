"""Several data sets as one: who knows which target, in memory and loaded."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

from moframework.data import Dataset, TensorData, batches, where
from moframework.data.by_task import task_sets
from moframework.data.collate import Collated
from moframework.data.composition import SetBatches
from moframework.data.fingerprint import contents
from moframework.data.pad import Pad
from moframework.errors import DataError

NAN = float("nan")
READS = {"class": {"left": "class"}, "size": {"left": "size", "right": "meters"}, "price": {"right": "price"}}


class Loaded(torch.utils.data.Dataset[Any]):
    """The samples of a `TensorData`, made when asked for."""

    def __init__(self, data: TensorData) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        return self.data[index]

    def where(self, index: int) -> str:
        return f"shelf {index}"


def left() -> TensorData:
    return TensorData(
        torch.arange(6.0).reshape(3, 2), {"class": torch.tensor([0, 1, 2]), "size": torch.tensor([0.5, 0.25, 0.125])}
    )


def right() -> TensorData:
    targets = {"meters": torch.tensor([5.0, 6.0]), "price": torch.tensor([[1.0], [2.0]])}
    return TensorData(-torch.ones(2, 2), targets, origins=["flats.csv, line 2", "flats.csv, line 3"])


def unknown(key: str, target: Tensor) -> float:
    return -100 if key == "class" else NAN


def whole(**sets: Dataset) -> Any:
    return task_sets(sets or {"left": left(), "right": right()}, READS, unknown)


@pytest.mark.parametrize("loaded", [False, True])
def test_each_sample_knows_the_targets_of_its_set(loaded: bool) -> None:
    one, other = left(), right()
    data = whole(left=Loaded(one) if loaded else one, right=other)
    assert isinstance(data, TensorData) != loaded
    assert len(data) == 5
    x, targets = next(batches(data, 5, order=None, device="cpu"))
    assert torch.equal(x, torch.cat([one.inputs, other.inputs]))  # type: ignore[list-item]
    assert targets["class"].tolist() == [0, 1, 2, -100, -100]
    assert targets["class"].dtype == torch.int64
    assert torch.equal(targets["size"], torch.cat([one.targets["size"], other.targets["meters"]]))
    torch.testing.assert_close(
        targets["price"], torch.tensor([[NAN], [NAN], [NAN], [1.0], [2.0]]), equal_nan=True, rtol=0, atol=0
    )
    assert where(data, 1) == ("set 'left', shelf 1" if loaded else "set 'left', row 1")
    assert where(data, 4) == "set 'right', flats.csv, line 3"
    assert data[-1][1]["price"].item() == 2
    with pytest.raises(IndexError):
        data[5]
    if loaded:
        assert len(pickle.loads(pickle.dumps(data))) == 5, "processes that load get it"
    else:
        assert where(data.take(torch.tensor([4, 0])), 0) == "set 'right', flats.csv, line 3"


def test_targets_that_are_in_memory_can_be_counted() -> None:
    slow = Loaded(left())
    assert whole(left=slow, right=Loaded(right())).targets is None
    slow.targets = slow.data.targets  # type: ignore[attr-defined]
    found = whole(left=slow, right=right()).targets
    assert {key: target.tolist() for key, target in found.items()}["class"] == [0, 1, 2, -100, -100]


@pytest.mark.parametrize(
    ("target", "number", "dtype"),
    [
        (torch.tensor([True, False]), -100, torch.int64),
        (torch.tensor([1, 200], dtype=torch.uint8), -100, torch.int64),
        (torch.tensor([1, 200], dtype=torch.uint8), NAN, torch.float32),
        (torch.tensor([1.0, 2.0], dtype=torch.float64), NAN, torch.float64),
    ],
)
def test_unknown_has_room_in_the_type(target: Tensor, number: float, dtype: torch.dtype) -> None:
    sets = {"a": TensorData(torch.zeros(2, 1), {"y": target}), "b": TensorData(torch.zeros(1, 1), {})}
    data: Any = task_sets(sets, {"y": {"a": "y"}}, lambda key, given: number)
    assert data.targets["y"].dtype == dtype
    assert data.targets["y"][:2].tolist() == target.tolist()
    assert data[2][1]["y"].item() == pytest.approx(number, nan_ok=True)


def test_what_a_set_says_of_itself_is_said_of_the_whole() -> None:
    known = left()
    known.known_contents = "abc"
    assert contents(whole(left=known, right=right())) == contents(whole(left=left(), right=right()))
    other = right()
    other.known_contents = "def"
    first = contents(whole(left=known, right=other))
    assert first == contents(whole(left=known, right=other)) != contents(whole(left=left(), right=right()))
    other.known_contents = "changed"
    assert contents(whole(left=known, right=other)) != first


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (torch.zeros(2, 3), r"an input of set 'left' is \(2,\) of float32, but that of set 'right' \(3,\) of float32"),
        (torch.zeros(2, 2).byte(), r"that of set 'right' \(2,\) of uint8: one network reads all sets"),
        ({"x": torch.zeros(2, 2)}, "inputs of set 'left' have the entries none, but those of set 'right' x"),
    ],
)
def test_inputs_need_one_form(inputs: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        whole(left=left(), right=TensorData(inputs, right().targets))


def test_targets_of_one_key_need_one_form() -> None:
    other = right()
    other.targets["meters"] = torch.zeros(2, 4)
    with pytest.raises(
        DataError, match=r"target 'size' is \(\) of float32 in set 'left', but \(4,\) of float32 in set"
    ):
        whole(left=left(), right=other)


def test_a_set_without_samples_is_named() -> None:
    with pytest.raises(DataError, match="set 'right' has no samples"):
        whole(left=left(), right=right().take(torch.arange(0)))


class Texts(torch.utils.data.Dataset[Any]):
    """Texts of different lengths, with one target."""

    def __init__(self, key: str, lengths: list[int]) -> None:
        self.key, self.lengths = key, lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Any:
        return torch.ones(self.lengths[index]), {self.key: torch.tensor(float(index))}


def test_sets_of_several_sizes_go_through_one_collate_function() -> None:
    reads = {"a": {"a": "a"}, "b": {"b": "b"}}
    for wrap in (False, True):  # the function of each set, or one for all
        sets: dict[str, Dataset] = {"a": Texts("a", [3, 1]), "b": Texts("b", [2, 5, 4])}
        made = {name: Collated(data, Pad()) for name, data in sets.items()} if wrap else sets
        data = task_sets(made, reads, unknown, one_size=False)
        data = data if wrap else Collated(data, Pad())
        x, targets = next(batches(data, 5, order=None, device="cpu"))
        assert x.sum(dim=1).tolist() == [3, 1, 2, 5, 4]  # type: ignore[union-attr]
        torch.testing.assert_close(targets["b"], torch.tensor([NAN, NAN, 0.0, 1.0, 2.0]), equal_nan=True)
    with pytest.raises(DataError, match="'a' and 'b' do not have the same collate function"):
        task_sets({"a": Collated(Texts("a", [1]), Pad()), "b": Texts("b", [1])}, reads, unknown)


def test_tensors_of_several_sizes_stay_apart() -> None:
    sets = {"a": TensorData(torch.zeros(2, 3), {"a": torch.zeros(2)}), "b": TensorData(torch.zeros(1, 4), {})}
    data = task_sets(sets, {"a": {"a": "a"}}, unknown, one_size=False)
    assert not isinstance(data, TensorData)
    x, _ = next(batches(Collated(data, Pad()), 3, order=None, device="cpu"))
    assert x.shape == (3, 4)  # type: ignore[union-attr]


def test_epochs_are_composed_as_asked() -> None:
    data: Any = task_sets({"left": left(), "right": right()}, READS, unknown, SetBatches(by="turn"))
    assert data.epochs.sizes == {"left": 3, "right": 2}
    assert data.epochs.batches.by == "turn"
    assert data.to("cpu").epochs is data.epochs
