"""Which data lives on the device. The device here is `meta`, which holds any tensor and no memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from moframework.data import TensorData, device_cache
from moframework.data.device_cache import resident

CPU, META = torch.device("cpu"), torch.device("meta")
DATA = TensorData(torch.zeros(10, 4), {"y": torch.zeros(10)})  # 200 bytes


class Items(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, int]]:
        return torch.full((1, 2, 2), index, dtype=torch.uint8), {"y": index}


@pytest.mark.parametrize(("free", "moved"), [(None, True), (400, True), (399, False), (0, False)])
def test_auto_moves_what_takes_half_of_the_free_memory(
    free: int | None, moved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_cache, "_free", lambda device: free)
    found = resident(DATA, "auto", META)
    assert isinstance(found, TensorData)
    assert found.device == (META if moved else CPU)


def test_auto_changes_nothing_on_the_cpu_nor_where_data_is_loaded() -> None:
    items = Items()
    assert resident(DATA, "auto", CPU) is DATA
    assert resident(items, "auto", META) is items


def test_true_reads_and_moves_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_cache, "_free", lambda device: 0)
    for data, count in ((DATA, 10), (Items(), 3)):
        moved = resident(data, True, META)
        assert isinstance(moved, TensorData)
        assert (len(moved), moved.device) == (count, META)
    read = resident(Items(), True, CPU)
    assert isinstance(read, TensorData)
    assert read.inputs[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert read.inputs.dtype == torch.uint8


def test_false_leaves_everything() -> None:
    items = Items()
    assert resident(DATA, False, META) is DATA
    assert resident(items, False, META) is items


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_real_device() -> None:
    device = torch.device("cuda")
    free = device_cache._free(device)
    assert free is not None
    assert free > 0
    found = resident(DATA, "auto", device)
    assert isinstance(found, TensorData)
    assert found.device.type == "cuda"
