"""Draws that other code has saved: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from moframework.problems.multimnist import MultiMNIST
from moframework.problems.multimnist3 import MultiMNIST3

from moframework.errors import DataError


def saved(folder: Path, tasks: int = 2, n: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """Files in the layout of the released code: images without channels, labels as floats."""
    folder.mkdir(parents=True)
    images, labels = torch.rand(n, 28, 28), torch.randint(10, (n, tasks)).float()
    torch.save((images, labels), folder / "training.pt")
    torch.save((images[:12], labels[:12]), folder / "test.pt")
    return images, labels


@pytest.mark.parametrize("inside", [".", "processed", "MultiMNIST/processed"])
def test_every_sample_is_there_once(inside: str, tmp_path: Path) -> None:
    images, labels = saved(tmp_path / "draw" / inside)
    problem = MultiMNIST(draw=tmp_path / "draw")
    problem.check()
    train, val, test = (problem.data(split) for split in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (50, 10, 12)
    assert torch.equal(test.inputs, images[:12, None])
    assert torch.equal(test.targets["right"], labels[:12, 1].long())
    both = torch.cat([train.inputs, val.inputs]).flatten(1)
    pairs = {tuple(image.tolist()): row for row, image in enumerate(images.flatten(1))}
    rows = [pairs[tuple(image.tolist())] for image in both]
    assert sorted(rows) == list(range(60))
    assert torch.equal(torch.cat([train.targets["left"], val.targets["left"]]), labels[rows, 0].long())


def test_the_seed_chooses_what_validates(tmp_path: Path) -> None:
    saved(tmp_path / "draw")
    first, again, other = (MultiMNIST(draw=tmp_path / "draw", seed=seed).data("val").inputs for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_three_tasks_and_whole_numbers(tmp_path: Path) -> None:
    images = torch.randint(256, (12, 1, 28, 28), dtype=torch.uint8)
    for name in ("training.pt", "test.pt"):
        torch.save([images, torch.randint(10, (12, 3))], tmp_path / name)
    data = MultiMNIST3(draw=tmp_path).data("test")
    assert torch.equal(data.inputs, images / 255)
    assert list(data.targets) == ["left", "bottom", "right"]


GOOD = (torch.rand(6, 28, 28), torch.ones(6, 2))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"data": GOOD[0]}, "holds a dict of 1; a pair of tensors is needed"),
        ((GOOD[0], [1, 2]), "holds a tuple of 2; a pair of tensors is needed"),
        ((torch.rand(6, 36, 36), GOOD[1]), "images (6, 36, 36) and labels (6, 2); needed are (n, 28, 28) and (n, 2)"),
        ((GOOD[0], torch.ones(6, 3)), "labels (6, 3); needed"),
        ((GOOD[0][:5], GOOD[1]), "images (5, 28, 28) and labels (6, 2)"),
        ((GOOD[0][:0], GOOD[1][:0]), "images (0, 28, 28)"),
        ((GOOD[0], GOOD[1] * 10), "sample 0: labels that are no digits"),
        ((GOOD[0], torch.tensor([[1.0, 1.0]] * 5 + [[0.5, 1.0]])), "sample 5: labels that are no digits"),
        ((GOOD[0] / 0, GOOD[1]), "sample 0: nan or inf"),
        (Path("an object that is no tensor"), "is damaged or holds more than tensors and plain values"),
    ],
)
def test_other_files_are_refused(content: Any, words: str, tmp_path: Path) -> None:
    torch.save(GOOD, tmp_path / "training.pt")
    torch.save(content, tmp_path / "test.pt")
    with pytest.raises(DataError) as error:
        MultiMNIST(draw=tmp_path).data("test")
    assert words in str(error.value)
    assert "test.pt" in str(error.value)


def test_missing_files(tmp_path: Path) -> None:
    torch.save(GOOD, tmp_path / "training.pt")
    with pytest.raises(DataError, match=r"has no test\.pt, nor has processed"):
        MultiMNIST(draw=tmp_path).data("train")
