"""Data held in memory as tensors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from moframework.data import Collated, TensorData, gathered, where
from moframework.data.adapters import adapted
from moframework.data.pad import Pad
from tests.data.sets import numbers


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


def test_samples_know_where_they_come_from() -> None:
    data = TensorData(torch.zeros(3, 2), {"y": torch.zeros(3)}, origins=["t.csv, line 2", "t.csv, line 3", "x"])
    assert where(data, 1) == "t.csv, line 3"
    assert where(data.take(torch.tensor([2, 0])), 1) == "t.csv, line 2"
    assert where(data.take(torch.tensor([2, 0])).take(torch.tensor([0])), 0) == "x"
    assert where(data.to("cpu"), 2) == "x"
    subset = torch.utils.data.Subset(data, [2, 1])
    assert where(subset, 1) == "t.csv, line 3"
    both = torch.utils.data.ConcatDataset([data, subset])
    assert [where(both, i) for i in (0, 2, 3, 4)] == ["t.csv, line 2", "x", "x", "t.csv, line 3"]
    assert where(TensorData(torch.zeros(1), {}), 0) is None


def test_data_sets_of_other_people_may_tell_too() -> None:
    class Told(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.zeros(1), torch.tensor(float(index))

        def where(self, index: int) -> Path:
            return Path(f"{index}.wav")

    data = adapted(Told(), ["y"])
    assert where(data, 1) == "1.wav"
    assert where(Collated(data, Pad()), 1) == "1.wav"
    assert where(gathered(data), 1) == "1.wav"
