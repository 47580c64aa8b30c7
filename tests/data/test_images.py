"""Images in files: decoding against Pillow and by hand, in memory and not, the cache, and files that are no images."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import moframework.data.images
from moframework.data import TensorData, batches, where
from moframework.data.fingerprint import contents
from moframework.data.images import ImageFiles, Images, has_deep_pixels, image_names, read_image
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


def save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_keep_their_range(tmp_path: Path, name: str) -> None:
    """A ramp over the whole range of the type: black to white, where it was white all over."""
    pixels = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    path = save(tmp_path / name, pixels)
    assert has_deep_pixels(path)
    made = read_image(path, (16, 16))
    assert (made.shape, made.dtype) == ((3, 16, 16), torch.uint8)
    np.testing.assert_array_equal(made[0].numpy().ravel(), np.arange(256))
    assert torch.equal(made[0], made[2])
    exact = read_image(path, (16, 16), gray=True, floats=True)
    assert (exact.shape, exact.dtype) == ((1, 16, 16), torch.float32)
    np.testing.assert_allclose(exact[0].numpy(), pixels / 65535, rtol=1e-6)
    half = read_image(path, (8, 16), gray=True, floats=True)
    assert half[0, :, 0].tolist() == sorted(half[0, :, 0].tolist()), "resized as floats, without steps"


def test_few_of_sixteen_bits_stay_apart_as_floats(tmp_path: Path) -> None:
    """Depth in millimeters or twelve bits of a scanner: 8 bits would leave 16 grays."""
    pixels = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    path = save(tmp_path / "a.png", pixels)
    assert len(read_image(path, (64, 64), gray=True, floats=True).unique()) == 4096
    assert len(read_image(path, (64, 64), gray=True).unique()) == 17


def test_floats_are_as_they_are(tmp_path: Path) -> None:
    pixels = np.array([[-3.5, 0.25], [7.0, 1e6]], dtype=np.float32)
    path = save(tmp_path / "a.tif", pixels)
    np.testing.assert_array_equal(read_image(path, (2, 2), gray=True, floats=True)[0].numpy(), pixels)
    with pytest.raises(DataError, match=r"a\.tif has pixels of floats or 32-bit .* `pixels: float32`"):
        read_image(path, (2, 2))
    whole = save(tmp_path / "b.tif", np.array([[0, 70000], [3, 4]], dtype=np.int32))
    assert read_image(whole, (2, 2), gray=True, floats=True)[0].tolist() == [[0, 70000], [3, 4]]
    pixels[0, 1] = np.nan
    with pytest.raises(DataError, match=r"a\.tif has pixels that are not finite"):
        read_image(save(tmp_path / "a.tif", pixels), (2, 2), floats=True)


def test_eight_bits_as_floats_are_the_same_batch(folder: Path) -> None:
    for gray in (False, True):
        expected = read_image(folder / "a.jpg", (8, 6), gray).float() / 255
        torch.testing.assert_close(read_image(folder / "a.jpg", (8, 6), gray, floats=True), expected)
    assert not has_deep_pixels(folder / "a.jpg")
    assert not has_deep_pixels(folder / "notes.txt")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L with a color", "RGB with a color"])
def test_transparent_parts_are_white(tmp_path: Path, mode: str) -> None:
    """Whatever color lies under them: here black, at the left; the right half is opaque gray."""
    gray = np.zeros((4, 4), dtype=np.uint8)
    gray[:, 2:] = 100
    path, options = tmp_path / "a.png", {}
    if mode == "P":
        image = Image.fromarray(gray).convert("P")
        options = {"transparency": image.getpixel((0, 0))}
    elif mode.endswith("color"):
        image = Image.fromarray(gray).convert(mode.split()[0])
        options = {"transparency": 0 if mode.startswith("L") else (0, 0, 0)}
    else:
        image = Image.fromarray(gray).convert(mode)
        image.putalpha(Image.fromarray(np.where(gray > 0, 255, 0).astype(np.uint8)))
    image.save(path, **options)
    for flag in (False, True):
        made = read_image(path, (4, 4), gray=flag)
        assert made[:, :, :2].unique().tolist() == [255]
        assert made[:, :, 2:].unique().tolist() == [100]


def test_half_transparent_parts_are_half_white(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.full((2, 2, 4), (200, 0, 0, 51), dtype=np.uint8))
    assert read_image(path, (2, 2))[:, 0, 0].tolist() == [244, 204, 204]


@pytest.mark.parametrize("name", ["a.gif", "a.tif", "a.webp", "a.png"])
def test_of_several_frames_none_is_chosen(tmp_path: Path, name: str) -> None:
    frames = [Image.fromarray(np.full((4, 4, 3), shade, dtype=np.uint8)) for shade in (0, 120, 255)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match=r"a\.\w+ has 3 frames, and an image has one: save one of them"):
        read_image(tmp_path / name, (4, 4))


def test_a_transparent_color_of_sixteen_bits_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.arange(16, dtype=np.uint16).reshape(4, 4)).save(tmp_path / "a.png", transparency=3)
    with Image.open(tmp_path / "a.png") as image:
        assert "transparency" in image.info
    with pytest.raises(DataError, match=r"a\.png has a transparent color and more than 8 bits"):
        read_image(tmp_path / "a.png", (4, 4), floats=True)


def test_floats_in_memory_and_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOFRAMEWORK_CACHE", str(tmp_path / "cache"))
    for i in range(3):
        save(tmp_path / f"{i}.png", np.full((4, 4), 20000 * i, dtype=np.uint16))
    given = {"problem": "deep", "folder": tmp_path, "names": ("0.png", "1.png", "2.png"), "size": (4, 4)}
    kept, loaded = (Images(**given, floats=True, in_memory=flag).samples([2, 1], {}) for flag in (True, False))  # type: ignore[arg-type]
    for position, i in enumerate((2, 1)):
        assert torch.equal(kept[position][0], loaded[position][0])
        assert kept[position][0].unique().tolist() == pytest.approx([20000 * i / 65535])
        assert where(kept, position) == where(loaded, position) == str(tmp_path / f"{i}.png")
    (batch, _), *_ = batches(kept, 2, order=None, device="cpu")
    assert float(batch.max()) == pytest.approx(40000 / 65535)
    plain = Images(**given, in_memory=True).samples([1], {})  # type: ignore[arg-type]
    assert plain[0][0].dtype == torch.uint8, "the cache tells them apart"
    needed = 3 * 3 * 4 * 4
    monkeypatch.setattr(moframework.data.images, "machine_memory", lambda: 4 * needed)
    assert isinstance(Images(**given, floats=True).samples([0], {}), ImageFiles), "four bytes a number"  # type: ignore[arg-type]
