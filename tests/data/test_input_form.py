"""The form of inputs, told from data."""

from __future__ import annotations

import torch

from moframework.data import Collated, TensorData, input_form
from moframework.data.pad import Pad
from moframework.inputs import Entry
from tests.inputs.kinds import Items, inputs
from tests.inputs.ragged import Texts


def test_tensors_and_items_have_the_same() -> None:
    data = TensorData(inputs("nested"), {})
    assert input_form(data) == input_form(Items("nested", "train"))
    assert input_form(data).entries["text.mask"] == Entry((5,), torch.bool)
    images = TensorData({"image": torch.zeros(2, 3, 4, 4, dtype=torch.uint8)}, {})
    assert input_form(images).entries == {"image": Entry((3, 4, 4), torch.float32)}  # as networks read them


def test_sizes_that_differ_between_batches_vary() -> None:
    assert input_form(Collated(Texts("train"), Pad())).entries == {"ids": Entry((None,), torch.int64)}
    assert input_form(Collated(Texts("train"), Pad(entries="ids", length=9))).entries["ids"].shape == (9,)
    stated = input_form(Collated(Texts("train"), Pad()), {"ids": (None,)})
    assert stated.entries["ids"].shape == (None,)
