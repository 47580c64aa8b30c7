"""The relatives of `multimnist`: what each lays on the canvas, on small image sets and, where there is, the real data.

`multimnist` itself, its files and its cache: test_multimnist.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from moframework.problems.fashion_and_mnist import FashionAndMNIST
from moframework.problems.multifashion import MultiFashion
from moframework.problems.multimnist import MultiMNIST
from moframework.problems.multimnist3 import MultiMNIST3
from moframework.problems.overlaid_mnist import OverlaidMNIST
from PIL import Image
from torch.nn import functional

from moframework.data import SPLITS
from moframework.errors import DataError
from moframework.problem import get_problem
from tests.problems.imagesets import FILES, idx, write

ALL = (MultiMNIST, MultiMNIST3, MultiFashion, FashionAndMNIST)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOFRAMEWORK_CACHE", str(tmp_path / "cache"))
    return write(write(tmp_path / "data"), seed=1, name="FashionMNIST")


@pytest.mark.parametrize("problem", ALL)
def test_facts(problem: type[OverlaidMNIST], root: Path) -> None:
    made = problem(root=root)
    assert get_problem(problem.name) == problem()
    m = len(problem.layers)
    assert made.outputs == {layer.task: 10 for layer in problem.layers}
    assert made.reference == (1.0,) * m
    assert sum(p.numel() for p in made.backbone().parameters()) == {2: 27_450, 3: 30_510}[m]
    for split, size in zip(SPLITS, (50, 10, 30), strict=True):
        data = made.data(split)
        assert (data.inputs.shape, data.inputs.dtype) == ((size, 1, 28, 28), torch.float32)
        assert {key: (target.shape, target.dtype) for key, target in data.targets.items()} == {
            layer.task: ((size,), torch.int64) for layer in problem.layers
        }
    made.check()


def test_tasks_are_in_the_order_of_the_papers() -> None:
    assert [task.name for task in MultiMNIST3().tasks] == ["left", "bottom", "right"]
    assert [task.name for task in FashionAndMNIST().tasks] == ["fashion", "digit"]


def laid(problem: type[OverlaidMNIST], images: list[np.ndarray]) -> np.ndarray:
    """One image as the authors make it: with Pillow, or with torch where theirs is a tensor."""
    canvas = np.zeros(problem.canvas, dtype=np.float32)
    for image, (top, left) in zip(images, problem(seed=0).places.values(), strict=True):
        area = canvas[top : top + 28, left : left + 28]
        area[:] = np.maximum(area, image)
    if problem is MultiMNIST3:
        whole = torch.from_numpy(canvas)[None, None]
        return functional.interpolate(whole, (28, 28), mode="bilinear", align_corners=False)[0, 0].numpy()
    return np.asarray(Image.fromarray(canvas).resize((28, 28)))


def source(root: Path, layer: int, problem: type[OverlaidMNIST], train: bool) -> tuple[np.ndarray, np.ndarray]:
    dataset = getattr(torchvision.datasets, problem.layers[layer].source.name)(root, train=train)
    return dataset.data.numpy().astype(np.float32) / 255, dataset.targets.numpy()


@pytest.mark.parametrize("problem", ALL)
@pytest.mark.parametrize("split", ["val", "test"])
def test_images_are_those_of_the_construction(problem: type[OverlaidMNIST], split: str, root: Path) -> None:
    """Each sample is made from different images of the right set and part that have the labels it states."""
    sources = [source(root, i, problem, split != "test") for i in range(len(problem.layers))]
    data = problem(root=root).data(split)  # type: ignore[arg-type]
    for row in range(3):
        candidates = [
            np.flatnonzero(labels == int(data.targets[layer.task][row]))
            for layer, (_, labels) in zip(problem.layers, sources, strict=True)
        ]
        found = [
            indices
            for indices in np.stack(np.meshgrid(*candidates), axis=-1).reshape(-1, len(candidates))
            if np.allclose(
                laid(problem, [images[i] for i, (images, _) in zip(indices, sources, strict=True)]),
                data.inputs[row, 0].numpy(),
                atol=1e-3,
            )
        ]
        assert len(found) == 1
        if problem is not FashionAndMNIST:
            assert len(set(found[0].tolist())) == len(problem.layers)


def test_images_of_two_sets_are_drawn_independently(root: Path) -> None:
    """The same number may come up in both, and one set's draw says nothing of the other's."""
    counts = {layer.source: 1000 for layer in FashionAndMNIST.layers}
    drawn = FashionAndMNIST()._draw(counts, np.random.RandomState(0)).numpy()
    fashion, digit = drawn.T
    assert 0 <= fashion.min() <= fashion.max() < 1000 <= digit.min() <= digit.max() < 2000
    assert abs(np.corrcoef(fashion, digit)[0, 1]) < 0.1
    assert (fashion == digit - 1000).any()


def test_problems_do_not_share_a_cache(root: Path, tmp_path: Path) -> None:
    made = {problem: problem(root=root).data("val").inputs for problem in ALL}
    files = sorted(path.name for path in (tmp_path / "cache").glob("*.safetensors"))
    assert [name.partition("-")[0] for name in files] == sorted(problem.name for problem in ALL)
    assert torch.equal(made[MultiMNIST3], MultiMNIST3(root=root).data("val").inputs)
    assert not torch.equal(made[MultiMNIST3], made[MultiMNIST])


@pytest.mark.parametrize(("problem", "where"), [(MultiFashion, "FashionMNIST"), (FashionAndMNIST, "FashionMNIST")])
def test_missing_data_says_which_set(problem: type[OverlaidMNIST], where: str, tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(DataError) as error:
        problem(root=tmp_path, download=False).data("train")
    text = str(error.value)
    assert text.startswith(f"{problem.name} needs {', '.join(FILES)} of {where} in {tmp_path / where / 'raw'}.")
    assert "fashion-mnist" in text  # torchvision's mirror
    assert "Downloading is switched off" in text


def test_sets_of_other_sizes_are_refused(root: Path) -> None:
    raw = root / "FashionMNIST" / "raw"
    (raw / FILES[0]).write_bytes(idx(np.zeros((59, 28, 28))))
    (raw / FILES[1]).write_bytes(idx(np.zeros(59)))
    with pytest.raises(DataError, match="fashion_and_mnist needs sets of as many images each, but has FashionMNIST 59"):
        FashionAndMNIST(root=root).data("train")


@pytest.mark.real_data
@pytest.mark.skipif(
    "MOFRAMEWORK_DATA" not in os.environ,
    reason="set MOFRAMEWORK_DATA to a folder with MNIST/raw and FashionMNIST/raw to run on real data",
)
@pytest.mark.parametrize("problem", ALL[1:])
def test_real_data(problem: type[OverlaidMNIST], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOFRAMEWORK_CACHE", str(tmp_path))
    made = problem(download=False)
    data = {split: made.data(split) for split in SPLITS}
    assert [len(data[split]) for split in SPLITS] == [50_000, 10_000, 10_000]
    least, most = (-0.3, 1.3) if problem.resampling == "bicubic" else (0.0, 1.0)
    for part in data.values():
        assert least <= float(part.inputs.min()) <= float(part.inputs.max()) <= most
        for target in part.targets.values():
            shares = torch.bincount(target, minlength=10) / len(target)
            assert 0.08 < float(shares.min()) < float(shares.max()) < 0.125
