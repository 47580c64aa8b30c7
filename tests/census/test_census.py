"""A small part of the census, and that it is whole: its page, its families, and that it finds what is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

import pytest
import torch
import torchvision

from tests.census.cases import SEGMENTATION, SMALL, TORCHVISION, cases
from tests.census.comparing import SPACES, Case, compare
from tests.census.page import LIBRARIES, PAGE, page, read
from tests.extras import needs_timm, needs_transformers

FEW = {
    "timm": {"vision_transformer": "palora", "resnet": "phn"},
    "torchvision": {"vit": "pamal", "convnext": "phn"},
    "transformers": {"bert": "palora", "t5": "pamal", "gpt2": "phn", "wav2vec2": "palora"},
}
"""A weight space each: all of them are in the page."""
MARKS: dict[str, Any] = {"timm": needs_timm, "torchvision": (), "transformers": needs_transformers}


def case(library: str, family: str) -> Case:
    return next(found for found in cases(library) if found.family == family)


@pytest.mark.parametrize(
    ("library", "family", "space"),
    [pytest.param(library, *each, marks=MARKS[library]) for library, few in FEW.items() for each in few.items()],
)
@pytest.mark.filterwarnings("ignore")  # those of the libraries
def test_a_few(library: str, family: str, space: str) -> None:
    found = compare(case(library, family), space)
    assert found.refused is None
    assert found.equal, found
    if library != "torchvision":
        assert found.parts is None or found.parts > 0


@needs_transformers
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("family", "words"), [("reformer", "reversible layers"), ("rwkv", "changes its weights in place while it runs")]
)
def test_what_cannot_be_trained_is_refused(family: str, words: str) -> None:
    found = compare(case("transformers", family), "pamal")
    assert found.refused is not None
    assert words in found.refused


@needs_timm
@pytest.mark.filterwarnings("ignore")
def test_a_fault_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without θ(λ) in the checkpoints the census fails."""
    of_torch = torch.utils.checkpoint
    followed = [
        name for name in dir(of_torch) if hasattr(getattr(of_torch, name), "__wrapped__") and "generator" in name
    ]
    assert followed
    compare(case("timm", "vision_transformer"), "pamal")  # installs what follows
    for name in followed:
        monkeypatch.setattr(of_torch, name, getattr(of_torch, name).__wrapped__)
    with pytest.raises(Exception, match="must be Tensor, not NoneType"):
        compare(case("timm", "vision_transformer"), "pamal")


def test_every_family_of_torchvision_is_there() -> None:
    """Each module of its models that has networks for classes, or for pixels."""
    models = torchvision.models

    def modules(names: Iterable[str]) -> set[str]:
        return {models.get_model_builder(name).__module__.rpartition(".")[2] for name in names}

    small = {"alexnet", "vgg", "convnext", "maxvit", "swin_transformer", "vision_transformer"}
    assert modules(models.list_models(module=models)) == small | modules(name for name, _ in TORCHVISION.values())
    assert modules(models.list_models(module=models.segmentation)) == set(SEGMENTATION)
    assert {"alexnet", "vgg", "convnext", "maxvit", "swin", "swinv2", "vit"} <= set(SMALL)


def test_the_page_is_what_was_found() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.census --write timm --only nothing"
    assert len(read("timm")) >= 60
    assert len(read("transformers")) >= 30
    for library in LIBRARIES:
        for family, row in read(library).items():
            assert all(row[name]["equal"] for name in SPACES), (library, family)


@pytest.mark.parametrize("library", [name for name in LIBRARIES if name == "torchvision" or find_spec(name)])
def test_every_case_was_taken(library: str) -> None:
    assert {found.family for found in cases(library)} == set(read(library))
