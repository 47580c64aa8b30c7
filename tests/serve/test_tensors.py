"""Nested lists become tensors, or it is told where they are none."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from moframework.inputs import Entry
from moframework.serve.refusal import Refusal
from moframework.serve.tensors import tensor_of

PAIRS = Entry((2,))
TEXTS = Entry((None,), torch.int64)


def test_lists_become_tensors_of_the_type_that_is_read() -> None:
    assert tensor_of([[1, 2.5], [0, -1e-3]], PAIRS, ["x"], 9).tolist() == torch.tensor([[1, 2.5], [0, -1e-3]]).tolist()
    assert tensor_of([[1, 2, 3]], TEXTS, ["x"], 9).dtype == torch.int64
    assert tensor_of([[True, False]], Entry((2,), torch.bool), ["x"], 9).tolist() == [[True, False]]
    assert tensor_of([1, 2], Entry((), torch.uint8), ["x"], 9).dtype == torch.uint8
    assert tensor_of([[0.5, 1]], Entry((2,), torch.float64), ["x"], 9).dtype == torch.float64
    assert tensor_of([[0.5, 1]], Entry((2,), torch.bfloat16), ["x"], 9).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("given", "entry", "where", "words"),
    [
        (3, PAIRS, "#/x", "a number stands where a list of values does"),
        ([], PAIRS, "#/x", "this is empty|nothing in it"),
        ([[1, 2], [3]], PAIRS, "#/x/1", "it has 1; 2 values are wanted"),
        ([[1, 2], 3], PAIRS, "#/x/1", "a number stands where a list of 2 values does"),
        ([[1, 2], [3, "4"]], PAIRS, "#/x/1/1", "text stands where numbers do"),
        ([[1, None]], PAIRS, "#/x/0/1", "null stands"),
        ([[1, True]], PAIRS, "#/x/0/1", "true or false stands"),
        ([[1, [2]]], PAIRS, "#/x/0/1", "a list stands"),
        ([[1, 1e39]], PAIRS, "#/x/0/1", "out of the range of float32"),
        ([[1, {}]], PAIRS, "#/x/0/1", "an object stands"),
        ([[[[1]]]], Entry((1, 2, 1)), "#/x/0/0", "it has 1; 2 values"),
        ([[1], [1, 2]], TEXTS, "#/x/1", "it has 2 values; the others have 1"),
        ([[1.5]], TEXTS, "#/x/0/0", "a fraction stands where whole numbers do"),
        ([[1 << 70]], TEXTS, "#/x", "too large for 64 bits"),
        ([[0] * 10], TEXTS, "#/x", "the size 10; at most 9"),
        ([[], []], TEXTS, "#/x", "empty"),
        ([5, 256], Entry((), torch.uint8), "#/x/1", "out of the range of uint8"),
        ([[0.0, 1e39]], Entry((2,), torch.bfloat16), "#/x/0/1", "out of the range of bfloat16"),
    ],
)
def test_the_place_that_is_wrong_is_told(given: Any, entry: Entry, where: str, words: str) -> None:
    with pytest.raises(Refusal, match=words) as caught:
        tensor_of(given, entry, ["x"], 9)
    assert caught.value.status == 422
    assert caught.value.faults[0].pointer == where
