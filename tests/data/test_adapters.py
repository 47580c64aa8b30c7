"""Data in the forms that torch users have it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, StackDataset, TensorDataset

from moframework.data import TensorData, batches
from moframework.data.adapters import adapted
from moframework.errors import SpecError

X = torch.arange(6.0).reshape(3, 2)
A, B = torch.tensor([0, 1, 2]), torch.tensor([0.0, 0.5, 1.0])


class Pairs(torch.utils.data.Dataset[Any]):
    """(input, target) as torchvision's data sets have them."""

    def __init__(self, target: Any) -> None:
        self.target = target

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        return X[index], self.target(index)


FORMS: dict[str, Any] = {
    "tensor data": TensorData(X, {"a": A, "b": B}),
    "tensors, dict": (X, {"a": A, "b": B}),
    "tensors, tuple": (X, (A, B)),
    "tensors, list": [X, [A, B]],
    "items, dict": Pairs(lambda i: {"a": int(A[i]), "b": B[i]}),
    "items, tuple": Pairs(lambda i: (int(A[i]), B[i])),
    "stacked": StackDataset(X, StackDataset(A, B)),
    "loader": DataLoader(Pairs(lambda i: (int(A[i]), B[i])), batch_size=2, shuffle=True),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str) -> None:
    data = adapted(FORMS[form], ["a", "b"])
    ((x, targets),) = batches(data, 3, order=None, device="cpu")
    assert torch.equal(x, X)
    assert targets["a"].tolist() == [0, 1, 2]
    torch.testing.assert_close(targets["b"], B)
    assert set(targets) == {"a", "b"}


@pytest.mark.parametrize("given", [(X, A), Pairs(lambda i: int(A[i])), TensorDataset(X, A)])
def test_a_single_target_needs_no_name(given: Any) -> None:
    ((x, targets),) = batches(adapted(given, ["a"]), 3, order=None, device="cpu")
    assert torch.equal(x, X)
    assert targets["a"].tolist() == [0, 1, 2]


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        yield X[0], {}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Stream(), r"with a length, a pair \(inputs, targets\) .* but it is a Stream"),
        (3, "but it is a int"),
        ("data", "but it is a str"),
        ((X, A, B), "but it is a tuple"),
        ((X, A), "the tasks read the targets a, b: give a dict .* not a Tensor"),
        ((X, (A,)), "not 1 values"),
        ((X, (A[:2], B)), "does not fit: there are 3 inputs, but 2 targets 'a'"),
    ],
)
def test_what_is_no_data(given: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        adapted(given, ["a", "b"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (TensorDataset(X, A, B), "items of TensorDataset must be .* but item 0 is 3 values"),
        (TensorDataset(X, A), "the tasks read the targets a, b"),
    ],
)
def test_items_that_do_not_fit(given: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        adapted(given, ["a", "b"])[0]
