"""Data files: folders, the IDX format, and a cache several processes may use."""

from __future__ import annotations

import gzip
import multiprocessing
import multiprocessing.synchronize
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from moframework.data.cache import cache_folder, cached_tensors, data_folder, fingerprint, read_idx
from moframework.errors import DataError
from moframework.io import unpacking


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return b"\x00\x00\x08" + bytes([array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def test_where_data_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MOFRAMEWORK_DATA", raising=False)
    monkeypatch.setenv("MOFRAMEWORK_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"
    assert data_folder() == tmp_path / "cache" / "data"
    monkeypatch.setenv("MOFRAMEWORK_DATA", str(tmp_path / "mine"))
    assert data_folder() == tmp_path / "mine"
    assert data_folder(tmp_path / "chosen") == tmp_path / "chosen"
    assert data_folder(Path("~/x")) == Path.home() / "x"
    monkeypatch.delenv("MOFRAMEWORK_CACHE")
    assert "moframework" in cache_folder().parts


def test_idx_files(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "plain").write_bytes(idx(array))
    (tmp_path / "packed.gz").write_bytes(gzip.compress(idx(array)))
    for name in ("plain", "packed.gz"):
        assert np.array_equal(read_idx(tmp_path / name), array)
    assert read_idx(tmp_path / "plain").flags.writeable  # torch warns of arrays that are not


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("short", idx(np.zeros((3, 4)))[:-1], r"damaged: it states 12 values of shape \(3, 4\), but holds 11"),
        ("long", idx(np.zeros((3, 4))) + b"\0", "but holds 13 or more"),
        ("header", idx(np.zeros((3, 4)))[:6], "damaged"),
        ("page", b"<html>not found</html>", "not an IDX file"),
        ("empty", b"", "not an IDX file"),
        ("cut.gz", gzip.compress(idx(np.zeros((3, 4))), mtime=0)[:-10], "damaged"),
        ("page.gz", b"<html>", "damaged"),
    ],
)
def test_damaged_idx_files(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_idx(tmp_path / name)


def test_a_fingerprint_is_of_contents(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"12")
    b.write_bytes(b"3")
    before = fingerprint([a, b])
    assert fingerprint([b, a]) != before
    a.rename(tmp_path / "c")
    assert fingerprint([tmp_path / "c", b]) == before
    (tmp_path / "c").write_bytes(b"1")
    b.write_bytes(b"23")
    assert fingerprint([tmp_path / "c", b]) != before


def visible(folder: Path) -> list[str]:
    """Everything in a folder but locks."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        cached_tensors("x", {}, dict, folder=tmp_path / "file" / "below")


def made() -> dict[str, Tensor]:
    return {"a/x": torch.arange(6).reshape(2, 3).t(), "a/y": torch.rand(2), "b/x": torch.ones(1)}


def refused() -> dict[str, Tensor]:
    raise AssertionError("built again")


def test_a_cache_builds_once_per_key(tmp_path: Path) -> None:
    first = cached_tensors("things", {"seed": 0}, made, folder=tmp_path)
    again = cached_tensors("things", {"seed": 0}, refused, folder=tmp_path)
    assert first.keys() == again.keys()
    assert all(torch.equal(first[key], again[key]) for key in first)
    other = cached_tensors("things", {"seed": 1}, made, only="a/", folder=tmp_path)
    again = cached_tensors("things", {"seed": 1}, refused, only="a/", folder=tmp_path)
    assert set(other) == set(again) == {"a/x", "a/y"}
    assert len(visible(tmp_path)) == 2


def test_what_is_built_has_the_memory_format_of_what_is_read(tmp_path: Path) -> None:
    """Or the first run would round otherwise than the next ones."""
    made = torch.rand(2, 4, 4, 3).permute(0, 3, 1, 2)
    for _ in range(2):
        found = cached_tensors("images", {}, lambda: {"x": made}, folder=tmp_path)["x"]
        assert found.is_contiguous()
        assert torch.equal(found, made)


def test_a_damaged_cache_is_built_anew(tmp_path: Path) -> None:
    cached_tensors("things", {}, made, folder=tmp_path)
    (file,) = (tmp_path / name for name in visible(tmp_path))
    file.write_bytes(file.read_bytes()[:-1])
    assert set(cached_tensors("things", {}, made, folder=tmp_path)) == set(made())
    cached_tensors("things", {}, refused, folder=tmp_path)


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="built again"):
        cached_tensors("things", {}, refused, folder=tmp_path)
    assert visible(tmp_path) == []


def _build_slowly(folder: Path, start: multiprocessing.synchronize.Barrier) -> None:
    def build() -> dict[str, Tensor]:
        (folder / f"builder-{os.getpid()}").touch()
        return {"x": torch.full((200_000,), 3.0)}

    start.wait(30)
    result = cached_tensors("things", {}, build, folder=folder)
    assert torch.equal(result["x"], torch.full((200_000,), 3.0))


def test_processes_that_ask_at_once_build_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    processes = [context.Process(target=_build_slowly, args=(tmp_path, start)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    builders = [name for name in visible(tmp_path) if name.startswith("builder")]
    assert len(builders) == 1


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_idx_file_that_states_more_than_it_holds_is_not_made(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    content = b"\x00\x00\x08\x04" + b"\xff\xff\xff\xff" * 4 + bytes(10)
    path.write_bytes(gzip.compress(content) if suffix else content)
    with pytest.raises(DataError, match=r"is damaged: it states \d{38,} values of shape .*, but holds fewer"):
        read_idx(path)
    content = b"\x00\x00\x08\xff" + bytes(10)
    path.write_bytes(gzip.compress(content) if suffix else content)
    with pytest.raises(DataError, match="is damaged"):
        read_idx(path)


def test_an_idx_file_that_unpacks_to_far_more_than_images_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(idx(np.zeros((100, 100)))))
    assert read_idx(tmp_path / "a.gz").shape == (100, 100)
    monkeypatch.setattr(unpacking, "_FREE", 1000)
    with pytest.raises(DataError, match="it states 10000 values"):
        read_idx(tmp_path / "a.gz")
