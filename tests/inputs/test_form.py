"""What inputs look like, in words, as plain data and as an example."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from moframework.inputs import Entry, InputForm, called, tensor_leaves
from tests.inputs.kinds import FORMS, inputs


@pytest.mark.parametrize("form", FORMS)
def test_a_form_survives_writing(form: str) -> None:
    made = InputForm.of_batch(inputs(form))
    again = InputForm.from_plain(json.loads(json.dumps(made.as_plain())))
    assert again == made
    assert made.matches(inputs(form))
    if form not in ("dataclass", "namedtuple"):
        example = made.example(2)
        assert InputForm.of_batch(example) == made
        assert not any(leaf.any() for leaf in tensor_leaves(example))
        assert called(FORMS[form][0]() if form != "cosmos" else FORMS["keywords"][0](), example, _how(form)) is not None
    else:
        with pytest.raises(ValueError, match="use a dict"):
            made.example(2)


def _how(form: str) -> Any:
    network = FORMS["keywords" if form == "cosmos" else form][0]()
    return InputForm.of_batch(inputs(form)).resolved(network).call


def test_shapes_alone_make_a_form() -> None:
    assert InputForm.of((3, 8, 8)).tree == Entry((3, 8, 8))
    assert InputForm.of(()).tree == Entry(())
    assert InputForm.of(((), (2,))).shape == ((), (2,))
    assert InputForm.of({"a": {"b": (None, 3)}}).entries == {"a.b": Entry((None, 3))}
    assert InputForm.of({"a": (3, 8, 8), "b": (2,)}).has_images
    assert not InputForm.of_batch({"a": torch.zeros(1, 3, 8, 8, dtype=torch.int64)}).has_images


def test_stated_shapes_replace_those_of_a_batch() -> None:
    x = {"ids": torch.zeros(2, 5, dtype=torch.int64)}
    made = InputForm.of_batch(x, {"ids": (None,)})
    assert made.entries == {"ids": Entry((None,), torch.int64)}
    assert made.example(3)["ids"].shape[0] == 3
    with pytest.raises(ValueError, match=r"inputs should be id \(any,\) float32, but the data has ids \(5,\) int64"):
        InputForm.of_batch(x, {"id": (None,)})


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ({"a": torch.ones(1, 2)}, "these lack 'b'"),
        (torch.ones(1, 2), "these lack 'a', 'b' and have one tensor alone too"),
        ({"a": torch.ones(1, 2), "b": 3}, "the input 'b' should be a tensor, but is a int"),
        ({"a": torch.ones(2), "b": torch.ones(1, 2)}, r"'a' should be \(b, 2\), but has the shape \(2,\)"),
    ],
)
def test_other_inputs_are_told(x: Any, words: str) -> None:
    import re

    fault = InputForm.of({"a": (2,), "b": (None,)}).fault(x)
    assert fault is not None
    assert re.search(words, fault)


@pytest.mark.parametrize(
    "plain",
    [
        None, {}, {"tree": 3, "call": "one"}, {"tree": {"set": {}}, "call": "one"},
        {"tree": {"shape": [-1], "dtype": "float32"}, "call": "one"},
        {"tree": {"shape": ["3"], "dtype": "float32"}, "call": "one"},
        {"tree": {"shape": [3], "dtype": "nn"}, "call": "one"},
        {"tree": {"shape": [3], "dtype": "float32"}, "call": "twice"},
        {"tree": {"dict": {}, "tuple": {}}, "call": "one"},
    ],
)  # fmt: skip
def test_what_is_no_form(plain: Any) -> None:
    with pytest.raises(ValueError, match=r"form of a model|no kind|is not the|no way"):
        InputForm.from_plain(plain)
