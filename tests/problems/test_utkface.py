"""`utkface` on a tiny folder of JPEG files in its layout."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from moframework.problems.utkface import UTKFace

from moframework.data import SPLITS, TensorData
from moframework.errors import DataError
from moframework.problem import get_problem
from tests.pictures import write_pictures

WRONG = ("39_1_20170116174525125.jpg.chip.jpg", "61_3_1_20150109.jpg", "200_0_0_20150109.jpg", "face.jpg")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOFRAMEWORK_CACHE", str(tmp_path / "cache"))
    names = [f"{'part' if i % 2 else '.'}/{1 + 5 * i}_{i % 2}_{i % 5}_2017010{i % 10}.jpg.chip.jpg" for i in range(20)]
    write_pictures(tmp_path / "UTKFace", names, size=(20, 20))
    return tmp_path


def test_facts() -> None:
    problem = get_problem("utkface")
    assert problem == UTKFace()
    assert problem.outputs == {"age": 1, "gender": 2, "ethnicity": 5}
    assert problem.input_shape == (3, 64, 64)
    assert sum(p.numel() for p in problem.backbone().parameters()) == 11_185_224


def test_splits_and_labels(root: Path) -> None:
    problem = UTKFace(root=root, size=8)
    data = {split: problem.data(split) for split in SPLITS}
    assert [len(part) for part in data.values()] == [14, 2, 4]  # type: ignore[arg-type]
    for part in data.values():
        assert isinstance(part, TensorData)
        assert (part.inputs.shape[1:], part.inputs.dtype) == ((3, 8, 8), torch.uint8)
        types = {key: target.dtype for key, target in part.targets.items()}
        assert types == {"age": torch.float32, "gender": torch.int64, "ethnicity": torch.int64}
    targets = {key: torch.cat([part.targets[key] for part in data.values()]) for key in ("age", "gender", "ethnicity")}  # type: ignore[attr-defined]
    train = data["train"].targets["age"]  # type: ignore[attr-defined]
    assert float(train.mean()) == pytest.approx(0, abs=1e-6)
    assert float(train.std(correction=0)) == pytest.approx(1, abs=1e-6)
    # Age i of the twenty goes with gender i % 2 and ethnicity i % 5, and all twenty are there once.
    order = targets["age"].argsort()
    assert targets["gender"][order].tolist() == [i % 2 for i in range(20)]
    assert targets["ethnicity"][order].tolist() == [i % 5 for i in range(20)]
    steps = targets["age"][order].diff()
    np.testing.assert_allclose(steps, float(steps[0]), rtol=1e-4)


def test_the_draw_is_that_of_the_seed(root: Path) -> None:
    def ages(seed: int) -> list[float]:
        return UTKFace(root=root, size=8, seed=seed, in_memory=False).data("test").targets["gender"].tolist()  # type: ignore[attr-defined,no-any-return]

    assert ages(0) == ages(0)
    assert len({tuple(ages(seed)) for seed in range(6)}) > 1


def test_names_that_say_nothing_are_counted(root: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = UTKFace(root=root, size=8).data("test")
    write_pictures(root / "UTKFace", WRONG, size=(20, 20))
    with pytest.warns(UserWarning, match=r"leaves out 4 of 24 images in .*: 200_0_0_20150109\.jpg, .*, …"):
        after = UTKFace(root=root, size=8).data("test")
    assert torch.equal(before.inputs, after.inputs)  # type: ignore[attr-defined]


def test_missing_data(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        UTKFace(root=tmp_path).data("train")
    text = str(error.value)
    assert f"in {tmp_path / 'UTKFace'}, and found 0" in text
    assert "https://susanqq.github.io/UTKFace/" in text
    assert "MOFRAMEWORK_DATA" in text


def test_two_slips_in_names_of_the_original(root: Path) -> None:
    """A blank before the dot, and no dot: both carry all labels."""
    before = len(UTKFace(root=root, size=8).data("train"))  # type: ignore[arg-type]
    odd = ("24_0_1_20170116220224657 .jpg.chip.jpg", "55_0_0_20170116232725357jpg.chip.jpg")
    write_pictures(root / "UTKFace", odd, size=(20, 20))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = [UTKFace(root=root, size=8).data(split) for split in SPLITS]
    assert sum(len(part) for part in data) == 22  # type: ignore[arg-type]
    assert len(data[0]) > before  # type: ignore[arg-type]
