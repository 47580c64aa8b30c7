"""`multimnist`: on a small folder in MNIST's layout, and on the real data where MOFRAMEWORK_DATA has it."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from moframework.problems.multimnist import MultiMNIST
from PIL import Image

from moframework.data import SPLITS
from moframework.errors import DataError
from moframework.problem import get_problem
from tests.problems.imagesets import FILES, idx, write


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOFRAMEWORK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path: Path, cache: Path) -> Path:
    return write(tmp_path / "data")


def cached(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if not path.name.endswith(".lock"))


def test_facts() -> None:
    problem = get_problem("multimnist")
    assert problem == MultiMNIST()
    assert [task.name for task in problem.tasks] == ["left", "right"]
    assert problem.outputs == {"left": 10, "right": 10}
    assert problem.reference == (1.0, 1.0)
    assert sum(p.numel() for p in problem.backbone().parameters()) == 27_450


def test_sizes_and_types(root: Path) -> None:
    problem = MultiMNIST(root=root)
    for split, size in zip(SPLITS, (50, 10, 30), strict=True):
        data = problem.data(split)
        assert data.inputs.shape == (size, 1, 28, 28)
        assert data.inputs.dtype == torch.float32
        assert set(data.targets) == {"left", "right"}
        for target in data.targets.values():
            assert (target.shape, target.dtype) == ((size,), torch.int64)
    problem.check()
    with pytest.raises(ValueError, match="no split 'valid'"):
        problem.data("valid")  # type: ignore[arg-type]


def expected(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """One image as the authors make it, with Pillow."""
    canvas = np.zeros((36, 36), dtype=np.float32)
    canvas[:28, :28] = left
    canvas[6:34, 6:34] = np.maximum(canvas[6:34, 6:34], right)
    return np.asarray(Image.fromarray(canvas).resize((28, 28)))


def source(root: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    dataset = torchvision.datasets.MNIST(root, train=part == "train")
    return dataset.data.numpy().astype(np.float32) / 255, dataset.targets.numpy()


def assert_made_from(root: Path, split: str, rows: range) -> None:
    """Each row is two different images of the right part with their labels: all pairs with these labels are tried."""
    images, labels = source(root, "test" if split == "test" else "train")
    data = MultiMNIST(root=root).data(split)  # type: ignore[arg-type]
    for row in rows:
        found = data.inputs[row, 0].numpy()
        lefts = np.flatnonzero(labels == int(data.targets["left"][row]))
        rights = np.flatnonzero(labels == int(data.targets["right"][row]))
        matches = [
            (i, j) for i in lefts for j in rights if np.allclose(expected(images[i], images[j]), found, atol=1e-3)
        ]
        assert len(matches) == 1
        assert matches[0][0] != matches[0][1]


@pytest.mark.parametrize("split", SPLITS)
def test_images_are_those_of_the_construction(root: Path, split: str) -> None:
    assert_made_from(root, split, range(10))


def test_the_cache_is_keyed_by_content_and_seed(root: Path, cache: Path, tmp_path: Path) -> None:
    one = MultiMNIST(root=root).data("train")
    assert len(cached(cache)) == 1
    again = MultiMNIST(root=root).data("train")
    assert torch.equal(one.inputs, again.inputs)
    root.rename(tmp_path / "moved")
    assert torch.equal(MultiMNIST(root=tmp_path / "moved").data("train").inputs, one.inputs)
    assert len(cached(cache)) == 1
    assert not torch.equal(MultiMNIST(root=tmp_path / "moved", seed=1).data("train").inputs, one.inputs)
    other = MultiMNIST(root=write(tmp_path / "other", seed=1)).data("train")
    assert not torch.equal(other.inputs, one.inputs)
    assert len(cached(cache)) == 3


def test_it_is_built_alike_without_the_cache(root: Path, cache: Path, tmp_path: Path) -> None:
    one = MultiMNIST(root=root).data("test")
    for path in cache.iterdir():
        path.unlink()
    again = MultiMNIST(root=root).data("test")
    assert torch.equal(one.inputs, again.inputs)
    assert torch.equal(one.targets["left"], again.targets["left"])


def test_the_root_may_come_from_the_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOFRAMEWORK_DATA", str(root))
    assert len(MultiMNIST().data("val")) == 10


def test_packed_files_will_do(root: Path) -> None:
    plain = MultiMNIST(root=root).data("train")
    for name in FILES:
        path = root / "MNIST" / "raw" / name
        path.with_name(name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert torch.equal(MultiMNIST(root=root).data("train").inputs, plain.inputs)


ASK = """
import hashlib, pathlib, sys
from moframework.problems.multimnist import MultiMNIST
print("ready", flush=True)
sys.stdin.readline()
data = MultiMNIST(root=pathlib.Path(sys.argv[1])).data("train")
print(hashlib.sha256(data.inputs.numpy().tobytes()).hexdigest())
"""


def test_two_processes_build_at_once(root: Path, cache: Path) -> None:
    command = [sys.executable, "-c", ASK, str(root)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    expected_hash = hashlib.sha256(MultiMNIST(root=root).data("train").inputs.numpy().tobytes()).hexdigest()
    assert answers == [expected_hash + "\n"] * 2
    assert len(cached(cache)) == 1


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", ["http://127.0.0.1:9/mnist/"])


def test_missing_data_without_network(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline(monkeypatch)
    raw = tmp_path / "MNIST" / "raw"
    with pytest.raises(DataError) as error:
        MultiMNIST(root=tmp_path).data("train")
    text = str(error.value)
    assert text.startswith(f"multimnist needs {', '.join(FILES)} of MNIST in {raw}.")
    assert "Get train-images-idx3-ubyte.gz" in text
    assert "from http://127.0.0.1:9/mnist/ into that folder" in text
    assert "MOFRAMEWORK_DATA" in text
    assert "http://127.0.0.1:9/mnist/train-images-idx3-ubyte.gz: " in text  # what was tried, and the answer
    assert "refused" in text
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and not path.name.endswith(".lock")]


def test_only_what_is_missing_is_asked_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline(monkeypatch)
    (root / "MNIST" / "raw" / FILES[3]).unlink()
    with pytest.raises(DataError, match=f"^multimnist needs {FILES[3]} of MNIST"):
        MultiMNIST(root=root).data("train")


def test_downloading_can_be_switched_off(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(DataError, match=r"Downloading is switched off \(download: false\)"):
        MultiMNIST(root=tmp_path, download=False).data("train")
    assert not list(tmp_path.iterdir())


def test_files_that_are_not_mnist(root: Path, cache: Path) -> None:
    path = root / "MNIST" / "raw" / FILES[2]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="is damaged"):
        MultiMNIST(root=root).data("train")
    path.write_bytes(idx(np.zeros((30, 20, 20))))
    with pytest.raises(DataError, match=r"is not MNIST: it has shape \(30, 20, 20\)"):
        MultiMNIST(root=root).data("train")
    assert cached(cache) == []


real = pytest.mark.skipif(
    "MOFRAMEWORK_DATA" not in os.environ, reason="set MOFRAMEWORK_DATA to a folder with MNIST/raw to run on real data"
)


@pytest.mark.real_data
@real
def test_real_data(cache: Path) -> None:
    start = time.perf_counter()
    problem = MultiMNIST(download=False)
    train = problem.data("train")
    built = time.perf_counter() - start
    start = time.perf_counter()
    data = {split: problem.data(split) for split in SPLITS}
    loaded = time.perf_counter() - start
    assert [len(data[split]) for split in SPLITS] == [50_000, 10_000, 10_000]
    assert torch.equal(data["train"].inputs, train.inputs)
    for part in data.values():
        assert -0.25 < float(part.inputs.min()) < 0
        assert 1 < float(part.inputs.max()) < 1.25
        for target in part.targets.values():
            shares = torch.bincount(target, minlength=10) / len(target)
            assert 0.08 < float(shares.min()) < float(shares.max()) < 0.125  # MNIST has 9% fives and 11% ones
    problem.check(train)
    # generous: other work may share the machine; alone it takes about 2.5 s and 0.3 s
    assert built < 30
    assert loaded < 5


def differs(images: torch.Tensor, one: torch.Tensor) -> torch.Tensor:
    return (images - one).abs().amax(dim=(1, 2)) > 1e-3


@pytest.mark.real_data
@real
def test_real_images_are_those_of_the_construction(cache: Path) -> None:
    root = Path(os.environ["MOFRAMEWORK_DATA"])
    images, labels = source(root, "test")
    data = MultiMNIST().data("test")
    pairs = np.empty((3, 2), dtype=np.int64)
    corner = torch.from_numpy(images)
    canvases = torch.zeros(len(images), 1, 36, 36)
    canvases[:, 0, :28, :28] = corner
    lefts = torch.nn.functional.interpolate(canvases, (28, 28), mode="bicubic", antialias=True)[:, 0]
    canvases = torch.zeros(len(images), 1, 36, 36)
    canvases[:, 0, 6:34, 6:34] = corner
    rights = torch.nn.functional.interpolate(canvases, (28, 28), mode="bicubic", antialias=True)[:, 0]
    for row in range(3):
        found = data.inputs[row, 0]
        # Where the other digit cannot reach, the image is one digit's alone.
        left = differs(lefts[:, :, :3], found[:, :3]) | differs(lefts[:, :3], found[:3])
        right = differs(rights[:, :, 24:], found[:, 24:]) | differs(rights[:, 24:], found[24:])
        candidates = itertools.product(torch.where(~left)[0].tolist(), torch.where(~right)[0].tolist())
        matches = [(i, j) for i, j in candidates if np.allclose(expected(images[i], images[j]), found, atol=1e-3)]
        assert len(matches) == 1
        pairs[row] = matches[0]
    assert labels[pairs[:, 0]].tolist() == data.targets["left"][:3].tolist()
    assert labels[pairs[:, 1]].tolist() == data.targets["right"][:3].tolist()
