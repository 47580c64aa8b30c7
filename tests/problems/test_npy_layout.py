"""`cityscapes` and `nyuv2`: on rendered rooms, written in the layout of MTAN."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from moframework.problems.cityscapes import CityScapes
from moframework.problems.npy_layout import write_layout
from moframework.problems.nyuv2 import NYUv2
from moframework.problems.scenes import Scenes

from moframework import check, load_spec
from moframework.augmentations.flip import Flip
from moframework.augmentations.scale_crop import ScaleCrop
from moframework.data import TensorData, batches
from moframework.errors import DataError
from moframework.problem import Problem, get_problem

FOLDERS = {
    "cityscapes": {"segmentation": "label_7", "depth": "depth"},
    "nyuv2": {"segmentation": "label", "depth": "depth", "normal": "normal"},
}
SIZES = {"cityscapes": (128, 256), "nyuv2": (288, 384)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images to train and two to test, of either data set."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOFRAMEWORK_CACHE", str(folder / "cache"))
        for name, folders in FOLDERS.items():
            scenes = Scenes(size=SIZES[name], train=5, test=2, objects=1)
            for split, part in (("train", "train"), ("test", "val")):
                write_layout(scenes.data(split), folder / name / part, folders)  # type: ignore[arg-type]
    return folder


def small(name: str, root: Path, **options: object) -> Problem:
    return get_problem(name, **{"root": root, "validation": 2, "backbone": {"name": "segnet", "width": 2}, **options})


@pytest.mark.parametrize("name", FOLDERS)
def test_splits_and_contents_are_those_of_the_files(name: str, root: Path) -> None:
    problem = small(name, root)
    data = {split: problem.data(split) for split in ("train", "val", "test")}  # type: ignore[arg-type]
    assert [len(data[split]) for split in ("train", "val", "test")] == [3, 2, 2]  # type: ignore[arg-type]
    files = [np.load(root / name / "train" / "image" / f"{i}.npy") for i in range(5)]
    owners = []
    for split in ("train", "val"):
        part = data[split]
        assert isinstance(part, TensorData)
        assert part.inputs.dtype == torch.float32
        assert set(part.targets) == set(FOLDERS[name])
        for row, image in enumerate(part.inputs):
            (owner,) = (i for i, file in enumerate(files) if np.array_equal(file, image.movedim(0, -1).numpy()))
            owners.append(owner)
            for key, folder in FOLDERS[name].items():
                file = np.load(root / name / "train" / folder / f"{owner}.npy")
                target = part.targets[key][row]
                assert target.dtype == (torch.int64 if key == "segmentation" else torch.float32)
                assert np.array_equal(file, (target if key == "segmentation" else target.movedim(0, -1)).numpy())
    assert sorted(owners) == [0, 1, 2, 3, 4]
    again = small(name, root).data("val")
    assert isinstance(again, TensorData)
    assert torch.equal(again.inputs, data["val"].inputs)  # type: ignore[attr-defined]


def test_what_does_not_fit_is_read_file_by_file(root: Path) -> None:
    held, read = small("nyuv2", root).data("train"), small("nyuv2", root, memory=0.001).data("train")
    assert isinstance(held, TensorData)
    assert not isinstance(read, TensorData)
    (x, targets), (y, others) = (next(batches(part, 3, order=None, device="cpu")) for part in (held, read))
    assert torch.equal(x, y)
    assert all(torch.equal(targets[key], others[key]) for key in targets)
    small("nyuv2", root, memory=0.001).check()


@pytest.mark.parametrize("name", FOLDERS)
def test_facts(name: str, root: Path) -> None:
    problem = get_problem(name, root=root)
    assert problem.augmentation == (ScaleCrop(), Flip())
    assert problem.outputs == ({"segmentation": 7, "depth": 1} if name == "cityscapes" else
                               {"segmentation": 13, "depth": 1, "normal": 3})  # fmt: skip
    assert problem.input_shape == (3, *SIZES[name])
    small(name, root).check()


@pytest.mark.parametrize("name", ["cityscapes-palora", "cityscapes-pamal", "nyuv2-palora"])
def test_the_papers_specs_check(name: str, root: Path) -> None:
    small = {"root": str(root), "validation": 2, "backbone": {"name": "segnet", "width": 2}}
    spec = load_spec({"extends": f"paper/{name}", "problem": {"name": name.partition("-")[0], **small}})
    assert "data        train 3, val 2, test 2, scale_crop, flip" in check(spec)


def test_labels_that_do_not_count_and_unknown_depth_are_left_out(root: Path, tmp_path: Path) -> None:
    data = small("cityscapes", root).data("train")
    assert isinstance(data, TensorData)
    data.targets["segmentation"][:, :64] = -1
    for part in ("train", "val"):
        write_layout(data, tmp_path / "cityscapes" / part, FOLDERS["cityscapes"])
    problem = small("cityscapes", tmp_path)
    problem.check()
    read = problem.data("test")
    assert isinstance(read, TensorData)
    segmentation = problem.tasks[0]
    output = torch.zeros(3, 7, 128, 256)
    output[:, 0, :64] = 1e4  # wrong wherever it does not count
    assert float(segmentation.loss(output, read.targets["segmentation"])) == pytest.approx(np.log(7), rel=1e-5)


def test_missing_data_says_what_to_get_and_where_it_goes(tmp_path: Path) -> None:
    for problem, link in (
        (CityScapes(root=tmp_path), "CityScapes (128x256"),
        (NYUv2(root=tmp_path), "NYUv2"),
    ):
        with pytest.raises(DataError) as error:
            problem.data("train")
        text = str(error.value)
        name = type(problem).__name__.lower()
        assert text.startswith(f"{name} needs {tmp_path / name / 'train' / 'image'} with files 0.npy, 1.npy, …")
        assert f"Get the preprocessed {link}" in text
        assert "https://github.com/lorenmt/mtan" in text
        assert f"put its train and val into {tmp_path / name}" in text
        assert "MOFRAMEWORK_DATA" in text


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda part: (part / "depth" / "1.npy").unlink(), "has 4 files, but not 1.npy"),
        (
            lambda part: (part / "depth" / "4.npy").unlink(),
            "should have as many files in each folder, but has 5 in image",
        ),
        (lambda part: np.save(part / "depth" / "1.npy", np.zeros((2, 2, 1))), r"\(128, 256, 1\), but has \(2, 2, 1\)"),
        (lambda part: (part / "depth" / "1.npy").write_bytes(b"x"), "1.npy cannot be read"),
    ],
    ids=["a gap", "fewer", "another shape", "damaged"],
)
def test_folders_that_are_not_whole(spoil: object, words: str, root: Path, tmp_path: Path) -> None:
    data = Scenes(size=(128, 256), train=5, objects=0, seed=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOFRAMEWORK_CACHE", str(root / "cache"))
        write_layout(data.data("train"), tmp_path / "cityscapes" / "train", FOLDERS["cityscapes"])
    spoil(tmp_path / "cityscapes" / "train")  # type: ignore[operator]
    with pytest.raises(DataError, match=words):
        small("cityscapes", tmp_path).data("train")


def test_too_much_held_out(root: Path) -> None:
    with pytest.raises(DataError, match=r"has 5 images in .* of which 475 cannot be held out"):
        CityScapes(root=root).data("val")
