"""Batches of items: stacked, by a function in code, by name in a spec; and what makes no batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moframework import check, solve
from moframework.config import build
from moframework.data import Collate, Collated, batches, collate_of, gathered
from moframework.data.collate import stacked
from moframework.data.fingerprint import contents
from moframework.data.pad import Pad
from moframework.errors import DataError, MoframeworkError, SpecError
from moframework.inputs import mapped, tensor_leaves
from tests.inputs.ragged import Texts, by_function, by_loader, padded

PAD = {"name": "pad", "entries": ["ids"], "mask": "mask"}
NAMED = {"python": "./tests/inputs/ragged.py:named", "value": 0}


def spec(problem: str, **problem_options: Any) -> dict[str, Any]:
    return {
        "problem": {"python": f"tests.inputs.ragged:{problem}", **problem_options},
        "solver": {"name": "palora", "preferences": {"name": "annealed", "per_batch": 2, "batch": "split"}},
        "training": {"steps": 12, "batch_size": 7, "optimizer": {"name": "adam", "lr": 0.05}},
        "evaluate": {"points": 3, "every": 1},
    }


def losses(folder: Path, given: dict[str, Any], **training: Any) -> np.ndarray[Any, Any]:
    given = {**given, "training": {**given["training"], **training}}
    return solve(given, folder, device="cpu").front("test").losses


def test_all_ways_to_pad_give_the_same_front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function, a DataLoader's own, a part of the spec, a function of the spec; in processes that load; at a fixed
    length, kept as tensors. Padding is left out of the mean, so its amount changes rounding alone."""
    monkeypatch.chdir(Path(__file__).parents[2])
    first = losses(tmp_path / "function", spec("by_function"))
    assert np.isfinite(first).all()
    for name, given in {
        "loader": spec("by_loader"),
        "pad": spec("texts", collate=PAD),
        "named": spec("texts", collate=NAMED),
        "instead": spec("by_function", collate=PAD),
    }.items():
        np.testing.assert_array_equal(losses(tmp_path / name, given), first, err_msg=name)
    np.testing.assert_array_equal(losses(tmp_path / "two", spec("by_loader"), workers=2), first)
    fixed = spec("texts", collate={**PAD, "length": 8})
    np.testing.assert_allclose(losses(tmp_path / "kept", fixed, resident=True), first, rtol=1e-5)


def test_what_a_padded_problem_says() -> None:
    for problem in (by_function(), by_loader()):
        assert problem.input_shape == {"ids": (None,), "mask": (None,)}
        problem.check()
    text = "\n".join(check(spec("texts", collate=PAD)))
    assert "ids (any,) int64, mask (any,) bool; given by keyword" in text
    assert "could not be estimated" not in text


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ("texts", r"the input 'ids' of row 1 has the shape .*, but that of row 0 .*collate: pad.*resize"),
        ("drops", r"the collate function dropping was given \d items, but its input 'ids' has the shape \(\d, \d\)"),
    ],
)
def test_what_makes_no_batch_is_told_before_training(problem: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        check(spec(problem))


def test_batches_that_differ_are_not_kept_as_tensors() -> None:
    with pytest.raises(DataError, match=r"'ids' varies in size from batch to batch.*resident"):
        gathered(Collated(Texts("train"), padded_with_names), batch_size=3)


def padded_with_names(items: Any) -> Any:
    x, (a, b) = padded(items)
    return x, {"a": a, "b": b}


def test_a_fault_of_an_item_names_its_row() -> None:
    data = Collated(Texts("train"), Pad(entries="ids", length=2))
    longest = max(range(24), key=lambda i: len(Texts("train").ids[i]))
    with pytest.raises(DataError, match=f"row {longest}: the input 'ids' is 8 long, but length is 2"):
        next(batches(data, 1, order=torch.tensor([longest]), device="cpu"))


def test_a_subset_keeps_the_collate_function() -> None:
    data = Collated(Texts("train"), padded_with_names)
    few = torch.utils.data.Subset(torch.utils.data.Subset(data, range(9)), [0, 3, 5])
    assert collate_of(few) is padded_with_names
    x, _ = next(batches(few, 3, order=None, device="cpu"))
    assert x["ids"].shape == (3, max(len(Texts("train").ids[i]) for i in (0, 3, 5)))


def test_the_record_of_data_tells_items_of_any_size_apart() -> None:
    data = Collated(Texts("train"), padded_with_names)
    other = Texts("train")
    assert contents(data) == contents(Collated(Texts("train"), padded_with_names))
    other.ids[7] = other.ids[7] % 9 + 1
    assert contents(data) != contents(Collated(other, padded_with_names))


def test_stacking_takes_numbers_and_arrays() -> None:
    x = stacked(
        [{"a": np.float32(1), "b": (np.ones(2), True)}, {"a": np.float32(2), "b": (np.zeros(2), False)}], [0, 1]
    )
    assert x["a"].tolist() == [1, 2]
    assert x["b"][0].shape == (2, 2)
    assert x["b"][1].tolist() == [True, False]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([{"a": torch.ones(1)}, {"b": torch.ones(1)}], "row 9 has the entries b, but that of row 4 has a"),
        ([{"a": torch.ones(1)}, torch.ones(1)], "row 9 has no entries"),
        ([{"a": "x"}, {"a": "y"}], "the input 'a' of row 4 is a str, but a network reads tensors"),
        ([torch.ones(1), torch.ones(2)], r"the input of row 9 has the shape \(2,\)"),
    ],
)
def test_what_cannot_be_stacked(inputs: list[Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        stacked(inputs, [4, 9])


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (torch.ones(2), "must return"),
        ((torch.ones(2), torch.ones(2)), "must return"),
        (({"a": ["x", "y"]}, {}), "its input 'a.0' is a str"),
        ((torch.ones(()), {}), "every item must be in the batch"),
        ((torch.ones(2), {"y": torch.ones(3)}), r"its target 'y' has the shape \(3,\)"),
    ],
)
def test_what_a_collate_function_must_return(returned: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        next(batches(Collated(Texts("train"), lambda items: returned), 2, order=None, device="cpu"))


def test_a_function_of_a_spec_has_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    made = build(Collate, {**NAMED, "value": 3}, trust=True)  # type: ignore[type-abstract]
    items = [(x, t) for x, t in (Texts("train")[i] for i in range(4))]
    assert ((made(items)[0]["ids"] == 3) >= ~made(items)[0]["mask"]).all()
    with pytest.raises(SpecError, match=r"no collate function called 'padx'.*did you mean 'pad'"):
        build(Collate, {"name": "padx"})  # type: ignore[type-abstract]
    with pytest.raises(MoframeworkError, match="takes the list of items first"):
        Collate.from_function(lambda **items: items)


def test_two_collate_functions_are_one_too_many() -> None:
    from moframework import problem_from_parts
    from tests.inputs.ragged import TASKS, Mean

    loader = torch.utils.data.DataLoader(Texts("train"), collate_fn=padded)
    problem = problem_from_parts(tasks=TASKS, network=Mean, data=lambda split: loader, collate=padded)
    with pytest.raises(SpecError, match="keep one"):
        problem.data("train")


def test_images_inside_others_become_numbers_and_are_changed_alike() -> None:
    """8-bit images in a dict are float32 in [0, 1] on the device; token ids of 8 bits stay."""

    class Rows(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, i: int) -> Any:
            image = torch.full((3, 4, 4), 51 * i, dtype=torch.uint8)
            return {"left": image, "right": image, "ids": torch.tensor([i, 200], dtype=torch.uint8)}, {"y": i}

    x, _ = next(batches(Rows(), 4, order=None, device="cpu"))
    assert x["left"].dtype == torch.float32
    torch.testing.assert_close(x["left"][3], torch.full((3, 4, 4), 0.6))
    assert x["ids"].dtype == torch.uint8
    assert [tuple(leaf.shape) for leaf in tensor_leaves(mapped(lambda leaf: leaf[:1], x))] == [
        (1, 3, 4, 4), (1, 3, 4, 4), (1, 2),
    ]  # fmt: skip
