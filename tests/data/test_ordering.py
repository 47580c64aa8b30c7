"""Order and size of an epoch: of plain data as ever, of others their own."""

from __future__ import annotations

import torch
from torch import Tensor

from moframework.data import TensorData, epoch_order, epoch_size, sample_rows
from moframework.data.adapters import adapted
from moframework.data.collate import Collated
from tests.data.sets import Items, numbers


class Backwards:
    """An epoch that goes backwards, twice."""

    def size(self, batch_size: int) -> int:
        return 20

    def order(self, batch_size: int, generator: torch.Generator) -> Tensor:
        return torch.arange(9, -1, -1).repeat(2)


def test_plain_data_is_shuffled() -> None:
    data = numbers()
    expected = torch.randperm(10, generator=torch.Generator().manual_seed(7))
    assert torch.equal(epoch_order(data, 4, torch.Generator().manual_seed(7)), expected)
    assert epoch_size(data, 4) == 10
    assert sample_rows(data, 3).tolist() == [0, 1, 2]
    assert sample_rows(data, 30).tolist() == list(range(10))


def test_an_order_of_ones_own_goes_with_the_data() -> None:
    data = TensorData(torch.zeros(10, 1), {"class": torch.arange(10), "twice": torch.arange(10)}, epochs=Backwards())
    loaded = Items()
    loaded.epochs = Backwards()  # type: ignore[attr-defined]
    collated = Collated(loaded, lambda items: items)  # type: ignore[arg-type, return-value]
    for each in (data, data.to("cpu"), loaded, collated, adapted(loaded, ["class", "twice"])):
        assert epoch_order(each, 4, torch.Generator()).tolist() == [*range(9, -1, -1)] * 2
        assert epoch_size(each, 4) == 20
        assert sample_rows(each, 4).tolist() == [0, 3, 6, 9]
    for part in (data.take(torch.arange(4)), torch.utils.data.Subset(collated, range(4))):
        assert sorted(epoch_order(part, 4, torch.Generator()).tolist()) == [0, 1, 2, 3]
