"""Images in files: decoding against Pillow and by hand, in memory and not, the cache, and files that are no images."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import moframework.data.images
from moframework.data import TensorData, batches
from moframework.data.fingerprint import contents
from moframework.data.images import ImageFiles, Images, image_names, read_image
from moframework.errors import DataError
from tests.pictures import write_pictures

NAMES = ("a.jpg", "b.png", "below/c.JPG")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOFRAMEWORK_CACHE", str(tmp_path / "cache"))
    write_pictures(tmp_path / "images", NAMES)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path / "images"


def images(folder: Path, **changes: object) -> Images:
    return Images(**{"problem": "things", "folder": folder, "names": NAMES, "size": (8, 6), **changes})  # type: ignore[arg-type]


def test_names_are_found_below_and_sorted(folder: Path) -> None:
    assert image_names(folder) == ("a.jpg", "b.png", "below/c.JPG")
    assert image_names(folder / "nothing") == ()


@pytest.mark.parametrize("gray", [False, True])
def test_decoding_is_that_of_pillow(folder: Path, gray: bool) -> None:
    image = Image.open(folder / "a.jpg").convert("L" if gray else "RGB")
    expected = np.asarray(image.resize((6, 8), Image.Resampling.BILINEAR)).reshape(8, 6, -1)
    found = read_image(folder / "a.jpg", (8, 6), gray)
    assert (found.shape, found.dtype) == ((1 if gray else 3, 8, 6), torch.uint8)
    assert np.array_equal(found.numpy().transpose(1, 2, 0), expected)


def test_transparency_palettes_and_orientation(tmp_path: Path) -> None:
    pixels = np.zeros((2, 3, 3), dtype=np.uint8)
    pixels[0, 0] = (255, 0, 0)  # red at the upper left
    image = Image.fromarray(pixels)
    image.convert("RGBA").save(tmp_path / "rgba.png")
    image.quantize(2).save(tmp_path / "palette.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees clockwise, as phones write it
    image.save(tmp_path / "turned.png", exif=turned)
    for name in ("rgba.png", "palette.png"):
        assert read_image(tmp_path / name, (2, 3))[:, 0, 0].tolist() == [255, 0, 0]
    assert read_image(tmp_path / "turned.png", (3, 2))[:, 0, 1].tolist() == [255, 0, 0]


@pytest.mark.parametrize("content", [b"", b"<html>", b"\xff\xd8\xff\xe0 cut short"])
def test_files_that_are_no_images(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.jpg cannot be read as an image .* replace it, or remove it"):
        read_image(tmp_path / "x.jpg", (2, 2))


def test_a_cut_image_is_named_wherever_it_is_decoded(folder: Path) -> None:
    whole = (folder / "a.jpg").read_bytes()
    (folder / "a.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"a\.jpg cannot be read as an image"):
        images(folder).samples([1], {})
    data = images(folder, in_memory=False).samples([0], {})
    with pytest.raises(DataError, match=r"a\.jpg cannot be read as an image"):
        data[0]
    (folder / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"the image .*a\.jpg cannot be read: No such file"):
        images(folder).samples([0], {})


@pytest.mark.parametrize("workers", [0, 1])
def test_in_memory_or_not_the_samples_are_the_same(folder: Path, workers: int) -> None:
    targets = {"y": torch.tensor([7, 8])}
    kept = images(folder).samples([2, 0], targets)
    loaded = images(folder, in_memory=False).samples([2, 0], targets)
    assert isinstance(kept, TensorData)
    assert isinstance(loaded, ImageFiles)
    assert kept.inputs.dtype == torch.uint8
    ((x, y),) = batches(kept, 2, order=None, device="cpu")
    ((again, y_again),) = batches(loaded, 2, order=None, device="cpu", workers=workers)
    assert torch.equal(x, again)
    assert torch.equal(x[1], read_image(folder / "a.jpg", (8, 6)) / 255)
    assert y["y"].tolist() == y_again["y"].tolist() == [7, 8]
    assert contents(kept) == contents(loaded)


def test_contents_are_of_files_and_targets(folder: Path, tmp_path: Path) -> None:
    first = contents(images(folder).samples([0, 1], {"y": torch.tensor([0, 1])}))
    assert contents(images(folder).samples([0, 1], {"y": torch.tensor([1, 1])})) != first
    assert contents(images(folder).samples([1, 0], {"y": torch.tensor([0, 1])})) != first
    assert contents(images(folder, size=(8, 8)).samples([0, 1], {"y": torch.tensor([0, 1])})) != first
    folder.rename(tmp_path / "moved")
    os.utime(tmp_path / "moved" / "a.jpg", (0, 0))
    assert contents(images(tmp_path / "moved").samples([0, 1], {"y": torch.tensor([0, 1])})) == first


def test_images_are_decoded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = images(folder).samples([0, 1, 2], {})

    def refuse(*_: object) -> None:
        raise AssertionError("decoded again")

    with monkeypatch.context() as patch:
        patch.setattr(moframework.data.images, "read_image", refuse)
        again = images(folder).samples([1], {})
        assert torch.equal(again[0][0], first[1][0])
        with pytest.raises(AssertionError, match="decoded again"):
            images(folder, size=(8, 8)).samples([0], {})
    write_pictures(folder, ["b.png"], seed=5)
    assert not torch.equal(images(folder).samples([1], {})[0][0], first[1][0])


def test_auto_is_a_quarter_of_the_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 3 * 3 * 8 * 6
    monkeypatch.setattr(moframework.data.images, "machine_memory", lambda: 4 * needed)
    assert isinstance(images(folder).samples([0], {}), TensorData)
    monkeypatch.setattr(moframework.data.images, "machine_memory", lambda: 4 * needed - 1)
    assert isinstance(images(folder).samples([0], {}), ImageFiles)
    assert isinstance(images(folder, in_memory=True).samples([0], {}), TensorData)


def test_an_image_of_too_many_pixels_is_not_decoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Image.open(folder / "a.jpg") as image:
        width, height = image.size
    monkeypatch.setattr(moframework.data.images, "_PIXELS", width * height)
    assert read_image(folder / "a.jpg", (4, 4)).shape == (3, 4, 4)
    monkeypatch.setattr(moframework.data.images, "_PIXELS", width * height - 1)
    with pytest.raises(DataError, match=rf"a\.jpg has {width} x {height} pixels, and .* are the most: make it smaller"):
        read_image(folder / "a.jpg", (4, 4))


def test_what_pillow_refuses_names_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # from twice as many on it raises an error of its own
    with pytest.raises(DataError, match=r"a\.jpg cannot be read as an image .*exceeds limit"):
        read_image(folder / "a.jpg", (4, 4))


def test_our_limit_is_where_pillow_begins_to_warn() -> None:
    assert moframework.data.images._PIXELS == Image.MAX_IMAGE_PIXELS
