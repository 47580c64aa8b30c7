"""Data in .npz files."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moframework.config import OptionError, build
from moframework.data import (
    NPZ,
    SPLITS,
    DataSource,
    batches,
)
from moframework.data.npz import read_npy
from moframework.errors import DataError
from moframework.io import unpacking


def save(path: Path, **arrays: Any) -> NPZ:
    np.savez(path, **arrays)
    return NPZ(path=path)


def test_npz_with_its_own_split(tmp_path: Path) -> None:
    x = np.arange(12.0).reshape(6, 2)
    source = save(tmp_path / "a.npz", inputs=x, price=x[:, 0], sold=x[:, 1] >= 5, split=np.array([0, 2, 0, 1, 0, 2]))
    assert source.input_shape == (2,)
    train = source.split("train")
    assert train.inputs.tolist() == x[[0, 2, 4]].tolist()
    assert train.inputs.dtype == train.targets["price"].dtype == torch.float32
    assert train.targets["sold"].tolist() == [0, 1, 1]
    assert train.targets["sold"].dtype == torch.int64
    assert set(train.targets) == {"price", "sold"}
    assert [len(source.split(split)) for split in SPLITS] == [3, 1, 2]
    assert build(DataSource, {"name": "npz", "path": str(tmp_path / "a.npz")}) == source  # type: ignore[type-abstract]


def test_npz_split_by_fractions(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    save(path, inputs=np.zeros((100, 2)), row=np.arange(100))

    def rows(seed: int) -> list[list[int]]:
        source = NPZ(path=path, fractions=(0.5, 0.2, 0.3), seed=seed)
        return [source.split(split).targets["row"].tolist() for split in SPLITS]

    parts = rows(0)
    assert [len(part) for part in parts] == [50, 20, 30]
    assert sorted(row for part in parts for row in part) == list(range(100))
    assert parts == rows(0)
    assert parts != rows(1)
    with pytest.raises(DataError, match="no samples for 'val'"):
        NPZ(path=path, fractions=(0.5, 0.0, 0.5)).split("val")
    with pytest.raises(OptionError, match=r"add up to 1, but add up to 0\.9"):
        NPZ(path=path, fractions=(0.5, 0.2, 0.2))


def test_npz_images(tmp_path: Path) -> None:
    images = np.array([[[[0, 51], [255, 102]]]] * 3, dtype=np.uint8)
    source = save(tmp_path / "a.npz", inputs=images, label=np.array([0, 1, 2], np.uint8), split=np.array([0, 1, 2]))
    assert source.input_shape == (1, 2, 2)
    assert source.split("val").inputs.dtype == torch.uint8
    ((x, _),) = batches(source.split("val"), 1, order=None, device="cpu")
    torch.testing.assert_close(x, torch.tensor([[[[0.0, 0.2], [1.0, 0.4]]]]))
    assert source.split("test").targets["label"].tolist() == [2]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros(3)}, "must hold an array `inputs` and at least one target, but holds x"),
        ({"inputs": np.zeros(3), "split": np.zeros(3)}, "at least one target"),
        ({"inputs": np.zeros((3, 2)), "y": np.zeros(4)}, r"`inputs` is \(3, 2\), but `y` is \(4,\)"),
        ({"inputs": np.zeros((3, 2)), "y": np.array(["a", "b", "c"])}, "`y` has type <U1; numbers are needed"),
        (
            {"inputs": np.array([[0.0], [np.nan], [1.0]]), "y": np.zeros(3)},
            r"`inputs` is not finite, first at \(1, 0\)",
        ),
        ({"inputs": np.zeros((3, 2)), "y": np.zeros(3), "split": np.array([0, 1, 3])}, "`split` must hold 0"),
        ({"inputs": np.zeros((3, 2)), "y": np.array([None, 1, 2])}, "not a .npz file of plain arrays"),
    ],
)
def test_npz_files_that_cannot_be_used(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    source = save(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=words):
        source.split("train")


def test_unknown_targets_are_nan_or_an_ignored_class(tmp_path: Path) -> None:
    source = save(
        tmp_path / "a.npz", inputs=np.zeros((3, 2)), y=np.array([0.5, np.nan, 1]), c=np.array([-100, 0, 1]),
        split=np.array([0, 0, 1]),
    )  # fmt: skip
    targets = source.split("train").targets
    assert targets["y"].isnan().tolist() == [False, True]
    assert targets["c"].tolist() == [-100, 0]
    broken = save(tmp_path / "b.npz", inputs=np.zeros((2, 2)), y=np.array([np.nan, np.inf]))
    with pytest.raises(DataError, match=r"`y` is not finite, first at \(1,\)"):
        broken.split("train")


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(DataError, match=r"a\.npz cannot be read: No such file"):
        NPZ(path=path).split("train")
    path.write_bytes(b"text")
    with pytest.raises(DataError, match=r"not a \.npz file"):
        NPZ(path=path).split("train")
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match="holds a single array"):
        NPZ(path=path).split("train")


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    source = save(path, inputs=np.zeros((3, 2)), y=np.zeros(3), split=np.zeros(3, int))
    assert len(source.split("train")) == 3
    save(path, inputs=np.zeros((4, 2)), y=np.zeros(4), split=np.zeros(4, int))
    assert len(source.split("train")) == 4


def npy(shape: str, held: int, dtype: str = "<f4") -> bytes:
    """An array file that states a shape, and holds so many bytes."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(held)


@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [
        ("(10000000000000,)", "<f4", r"'inputs\.npy' states 40,000,000,000,000 bytes of shape .*, but holds 8"),
        ("(10, -1)", "<f4", "states -40 bytes"),
        ("(1,)", "<f4", "states 4 bytes of shape .*, but holds 8"),
        ("(1,)", "|O", "holds pickled objects, which are not read"),
        ("(" * 90 + ")" * 90, "<f4", "is not a .npz file"),
    ],
)
def test_an_array_that_states_more_than_it_holds_is_not_made(
    tmp_path: Path, shape: str, dtype: str, words: str
) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("inputs.npy", npy(shape, 8, dtype))
        archive.writestr("target.npy", npy("(2,)", 8))
    tracemalloc.start()
    with pytest.raises(DataError, match=words):
        NPZ(path=tmp_path / "a.npz").split("train")
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()
    (tmp_path / "a.npy").write_bytes(npy(shape, 8, dtype))
    with pytest.raises(DataError, match=r"a\.npy cannot be read"):
        read_npy(tmp_path / "a.npy")


def test_what_unpacks_to_far_more_than_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = np.zeros((1000, 10), dtype=np.float32)
    np.savez_compressed(tmp_path / "a.npz", inputs=zeros, target=zeros)
    assert len(NPZ(path=tmp_path / "a.npz").split("train")) == 700
    monkeypatch.setattr(unpacking, "_FREE", 1000)
    monkeypatch.setattr(unpacking, "_RATIO", 10)
    np.savez_compressed(tmp_path / "b.npz", inputs=zeros, target=zeros)
    with pytest.raises(DataError, match=r"unpack to 80,256 bytes, which no data of its size does; .* numpy\.savez"):
        NPZ(path=tmp_path / "b.npz").split("train")
    np.savez(tmp_path / "c.npz", inputs=zeros, target=zeros)
    assert len(NPZ(path=tmp_path / "c.npz").split("train")) == 700


def test_read_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(6.0).reshape(2, 3))
    assert read_npy(tmp_path / "a.npy").tolist() == [[0, 1, 2], [3, 4, 5]]
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    with pytest.raises(
        DataError, match=r"a\.npy cannot be read \(it states 48 bytes of shape \(2, 3\), but holds 47\)"
    ):
        read_npy(tmp_path / "a.npy")
