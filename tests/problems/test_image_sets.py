"""The data sources `mnist` and `fashion_mnist`, on small sets in their layout; the spec of both on the real ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from moframework.problems.image_sets import FashionMNISTImages, MNISTImages
from moframework.problems.mnist_files import MNIST

from moframework import solve
from moframework.config import build
from moframework.data import SPLITS, DataSource
from moframework.errors import DataError
from moframework.run.plan import plan
from moframework.spec import load_spec
from tests.problems.imagesets import write


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("moframework.problems.image_sets._VAL", 10)  # the small sets have 60 images to train
    return write(write(tmp_path / "data"), seed=1, name="FashionMNIST")


def test_splits_are_images_of_the_set_with_their_classes(root: Path) -> None:
    source = MNISTImages(root=root, test=20)
    images, classes = MNIST.read(MNIST.files(root, False, "test"))[0]
    known = {image.numpy().tobytes(): int(label) for image, label in zip(images, classes, strict=True)}
    seen: list[bytes] = []
    for split, size in zip(SPLITS, (50, 10, 20), strict=True):
        data = source.split(split)
        assert (data.inputs.shape, data.inputs.dtype) == ((size, *source.input_shape), torch.uint8)  # type: ignore[union-attr]
        found = [image.numpy().tobytes() for image in data.inputs]  # type: ignore[union-attr]
        if split != "test":
            assert [known[image] for image in found] == data.targets["class"].tolist()
        assert torch.equal(data.inputs, source.split(split).inputs)  # type: ignore[arg-type]
        seen += found
    assert len(set(seen)) == 80, "splits share no image"
    other = MNISTImages(root=root, seed=1).split("val")
    assert not torch.equal(other.inputs, source.split("val").inputs)  # type: ignore[arg-type]


def test_smaller_splits_are_part_of_the_whole_ones(root: Path) -> None:
    some = FashionMNISTImages(root=root, train=7, val=3).split("train")
    whole = {image.numpy().tobytes() for image in FashionMNISTImages(root=root).split("train").inputs}  # type: ignore[union-attr]
    assert len(some) == 7
    assert {image.numpy().tobytes() for image in some.inputs} <= whole  # type: ignore[union-attr]


def test_the_two_are_found_by_name_and_missing_files_are_told(root: Path, tmp_path: Path) -> None:
    assert build(DataSource, "mnist") == MNISTImages()  # type: ignore[type-abstract]
    source: Any = build(DataSource, {"name": "fashion_mnist", "root": str(tmp_path), "download": False})  # type: ignore[type-abstract]
    with pytest.raises(DataError, match=r"the data source FashionMNIST needs train-images.* in .*FashionMNIST/raw"):
        source.split("train")


def test_the_spec_of_both(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOFRAMEWORK_DATA", str(root))
    ready = plan(load_spec("mnist-and-fashion"))
    data: Any = ready.data["train"]
    assert data.epochs.sizes == {"digit": 50, "item": 50}
    assert data.inputs.dtype == torch.uint8
    assert ready.labels["val"].counts == {"digit": 10, "item": 10}
    ready.spec.problem.check()


@pytest.mark.real_data
@pytest.mark.skipif(not os.environ.get("MOFRAMEWORK_DATA"), reason="MOFRAMEWORK_DATA is not set")
def test_real_data(tmp_path: Path) -> None:
    """A tenth of the spec's training orders the front already."""
    small = {"train": 10000, "val": 500, "test": 2000}
    spec = {
        "extends": "mnist-and-fashion",
        "problem": {"data": {"digit": {"name": "mnist", **small}, "item": {"name": "fashion_mnist", **small}}},
        "training": {"epochs": 3},
        "evaluate": {"points": 5},
    }
    front = solve(spec, tmp_path / "run", device="cpu").front("test")
    assert (front.controllability() <= -0.8).all()
    assert front.metrics["digit/accuracy"].max() > 0.93
    assert front.metrics["item/accuracy"].max() > 0.75
