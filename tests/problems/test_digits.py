"""`digits`: no leakage, determinism, pixel values, balance; it needs neither network nor cache."""

from __future__ import annotations

import itertools
import socket
import time
from typing import Any

import numpy as np
import pytest
import torch
from moframework.problems.digits import Digits
from PIL import Image
from sklearn.datasets import load_digits

from moframework.data import SPLITS
from moframework.problem import get_problem


def test_facts() -> None:
    problem = get_problem("digits")
    assert problem == Digits()
    assert [task.name for task in problem.tasks] == ["left", "right"]
    assert problem.outputs == {"left": 10, "right": 10}
    assert problem.reference == (1.0, 1.0)
    assert problem.input_shape == (1, 20, 20)
    assert problem.data("train").inputs.shape[1:] == problem.input_shape  # type: ignore[attr-defined]
    problem.check()


def test_sizes_and_types() -> None:
    problem = Digits(train=30, val=20, test=10)
    for split, size in zip(SPLITS, (30, 20, 10), strict=True):
        data = problem.data(split)
        assert data.inputs.shape == (size, 1, 20, 20)
        assert data.inputs.dtype == torch.float32
        assert set(data.targets) == {"left", "right"}
        for target in data.targets.values():
            assert (target.shape, target.dtype) == ((size,), torch.int64)
    assert [len(Digits().data(split)) for split in SPLITS] == [12000, 2000, 4000]


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_no_source_image_is_in_two_splits(seed: int) -> None:
    problem = Digits(seed=seed)
    used = {split: set(problem.pairs(split).ravel().tolist()) for split in SPLITS}
    for one, other in itertools.combinations(SPLITS, 2):
        assert not used[one] & used[other]
    assert len(set.union(*used.values())) == 1797  # so many draws use every image
    shares = [len(used[split]) / 1797 for split in SPLITS]
    assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.005)


def test_no_source_picture_is_in_two_splits() -> None:
    """Some of the 1,797 could be copies of one another; those would leak although their indices differ."""
    problem = Digits()
    images = load_digits().images.astype(np.uint8)
    used = {s: {images[i].tobytes() for i in np.unique(problem.pairs(s))} for s in SPLITS}
    for one, other in itertools.combinations(SPLITS, 2):
        assert not used[one] & used[other]


def test_pairs_are_of_different_images_and_labels_are_theirs() -> None:
    problem, labels = Digits(), load_digits().target
    for split in SPLITS:
        pairs, data = problem.pairs(split), problem.data(split)
        assert (pairs[:, 0] != pairs[:, 1]).all()
        assert data.targets["left"].tolist() == labels[pairs[:, 0]].tolist()
        assert data.targets["right"].tolist() == labels[pairs[:, 1]].tolist()


def test_the_same_seed_gives_the_same_data() -> None:
    one, again, other = Digits(train=50), Digits(train=50), Digits(train=50, seed=1)
    for split in SPLITS:
        assert torch.equal(one.data(split).inputs, again.data(split).inputs)
        assert not torch.equal(one.data(split).inputs[:50], other.data(split).inputs[:50])
    # RandomState's stream is frozen: this draw is the same on every machine
    assert one.pairs("train")[:3].tolist() == [[790, 272], [1598, 388], [1536, 757]]


def test_pixels() -> None:
    problem, images = Digits(train=20), load_digits().images
    data = problem.data("train")
    assert float(data.inputs.min()) == 0
    assert float(data.inputs.max()) <= 1
    for (left, right), found in zip(problem.pairs("train"), data.inputs[:, 0].numpy(), strict=True):
        canvas = np.zeros((20, 20), dtype=np.float32)
        for index, at in ((left, 0), (right, 4)):
            small = Image.fromarray((images[index] / 16).astype(np.float32))
            large = np.asarray(small.resize((16, 16), Image.Resampling.BILINEAR))
            canvas[at : at + 16, at : at + 16] = np.maximum(canvas[at : at + 16, at : at + 16], large)
        np.testing.assert_allclose(found, canvas, atol=1e-6)


def test_classes_are_balanced() -> None:
    problem = Digits()
    for split in SPLITS:
        data = problem.data(split)
        for target in data.targets.values():
            shares = torch.bincount(target, minlength=10) / len(target)
            assert shares.min() > 0.08
            assert shares.max() < 0.12
    # no class of one digit tells anything of the other
    train = problem.data("train").targets
    joint = torch.bincount(10 * train["left"] + train["right"], minlength=100) / 12000
    assert joint.min() > 0.006
    assert joint.max() < 0.014


def test_it_is_made_fast_and_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    load_digits()
    start = time.perf_counter()
    for split in SPLITS:
        Digits().data(split)
    assert time.perf_counter() - start < 1
