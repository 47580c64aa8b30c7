"""Data held in memory as tensors."""

from __future__ import annotations

import pytest
import torch

from moframework.data import (
    TensorData,
)
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
