"""`celeba` on a tiny folder of JPEG files in its layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from moframework.problems.celeba import ATTRIBUTES, CelebA

from moframework.data import SPLITS
from moframework.errors import DataError, SpecError
from moframework.problem import get_problem
from tests.pictures import write_pictures

COUNT = 9


def has(image: int, attribute: int) -> bool:
    return (image * 7 + attribute * 3) % 5 < 2


def write(root: Path) -> Path:
    folder = root / "celeba"
    names = [f"{i + 1:06}.jpg" for i in range(COUNT)]
    write_pictures(folder / "img_align_celeba", names, size=(22, 18))
    # As the original: numbers flush right, lines that end in a blank.
    lines = [f"{name} {''.join(f'{1 if has(i, a) else -1:3}' for a in range(40))} \n" for i, name in enumerate(names)]
    (folder / "list_attr_celeba.txt").write_text(f"{COUNT}\n{' '.join(ATTRIBUTES)} \n{''.join(lines)}")
    (folder / "list_eval_partition.txt").write_text("".join(f"{name} {i % 3}\n" for i, name in enumerate(names)))
    return root


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOFRAMEWORK_CACHE", str(tmp_path / "cache"))
    return write(tmp_path)


def test_facts() -> None:
    problem = get_problem("celeba")
    assert problem == CelebA()
    assert len(problem.tasks) == 40
    assert problem.outputs == dict.fromkeys(ATTRIBUTES, 1)
    few = CelebA(attributes=("Mustache", "Goatee"))
    assert [task.name for task in few.tasks] == ["Mustache", "Goatee"]
    assert few.input_shape == (3, 64, 64)


@pytest.mark.parametrize("in_memory", [True, False])
def test_splits_and_labels(root: Path, in_memory: bool) -> None:
    problem = CelebA(root=root, size=8, in_memory=in_memory)
    for position, split in enumerate(SPLITS):
        data: Any = problem.data(split)
        images = range(position, COUNT, 3)
        assert len(data) == 3
        assert data[0][0].dtype == torch.uint8
        for column, name in enumerate(ATTRIBUTES):
            assert data.targets[name].tolist() == [has(i, column) for i in images]
    few: Any = CelebA(root=root, size=8, attributes=("Young", "Bald")).data("test")
    assert list(few.targets) == ["Young", "Bald"]
    assert few.targets["Bald"].tolist() == [has(i, 4) for i in (2, 5, 8)]


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        (["Mustach"], "attributes: there is no attribute 'Mustach'.*did you mean 'Mustache'"),
        (["Bald", "Bald"], "attributes: .*names 'Bald' twice"),
        ([], "attributes: .*at least one"),
    ],
)
def test_attributes_that_do_not_exist(attributes: list[str], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        get_problem("celeba", attributes=attributes)


@pytest.mark.parametrize("name", ["list_attr_celeba.txt", "list_eval_partition.txt", "img_align_celeba"])
def test_missing_data(root: Path, name: str) -> None:
    (root / "celeba" / name).rename(root / "elsewhere")
    with pytest.raises(DataError) as error:
        CelebA(root=root).data("train")
    text = str(error.value)
    assert f"in {root / 'celeba'}, but there is no {name}. Get them from https://mmlab.ie.cuhk.edu.hk" in text
    assert "MOFRAMEWORK_DATA" in text


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("list_attr_celeba.txt", "<html>", "is not CelebA's list"),
        ("list_attr_celeba.txt", f"1\n{' '.join(ATTRIBUTES)}\n000001.jpg 1 -1\n", "is not CelebA's list"),
        ("list_eval_partition.txt", "000001.jpg 3\n", "is not CelebA's partition"),
        ("list_eval_partition.txt", "000001.jpg 0\n", "do not list the same images"),
    ],
)
def test_lists_that_are_damaged(root: Path, file: str, text: str, words: str) -> None:
    (root / "celeba" / file).write_text(text)
    with pytest.raises(DataError, match=words):
        CelebA(root=root).data("train")


def test_an_image_that_is_missing_is_named(root: Path) -> None:
    (root / "celeba" / "img_align_celeba" / "000004.jpg").unlink()
    with pytest.raises(DataError, match=r"000004\.jpg cannot be read: No such file"):
        CelebA(root=root, size=8).data("train")


def as_kaggle(root: Path) -> Path:
    """The lists as tables, and the folder of images once more in itself."""
    folder = root / "celeba"
    names = [f"{i + 1:06}.jpg" for i in range(COUNT)]
    rows = "".join(f"{n},{','.join('1' if has(i, a) else '-1' for a in range(40))}\n" for i, n in enumerate(names))
    (folder / "list_attr_celeba.csv").write_text(f"image_id,{','.join(ATTRIBUTES)}\n{rows}")
    parts = "".join(f"{name},{i % 3}\n" for i, name in enumerate(names))
    (folder / "list_eval_partition.csv").write_text(f"image_id,partition\n{parts}")
    (folder / "list_attr_celeba.txt").unlink()
    (folder / "list_eval_partition.txt").unlink()
    (folder / "img_align_celeba").rename(folder / "inner")
    (folder / "img_align_celeba").mkdir()
    (folder / "inner").rename(folder / "img_align_celeba" / "img_align_celeba")
    return folder


def test_the_form_that_kaggle_has(root: Path) -> None:
    before = {split: CelebA(root=root, size=8).data(split) for split in SPLITS}
    as_kaggle(root)
    for split in SPLITS:
        found: Any = CelebA(root=root, size=8).data(split)
        expected: Any = before[split]
        assert torch.equal(found.inputs, expected.inputs)
        assert {k: v.tolist() for k, v in found.targets.items()} == {k: v.tolist() for k, v in expected.targets.items()}


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("list_attr_celeba.csv", ",Young", ",Yong", "list_attr_celeba.csv is not CelebA's list: beside the column"),
        (
            "list_attr_celeba.csv",
            ",-1",
            ",2",
            "list_attr_celeba.csv: column '.*' has '2' in line 2, but attributes are",
        ),
        ("list_eval_partition.csv", ",2", ",3", "list_eval_partition.csv is not CelebA's partition"),
        ("list_eval_partition.csv", "000001", "000000", "do not list the same images"),
    ],
)
def test_tables_that_are_damaged(root: Path, file: str, old: str, new: str, words: str) -> None:
    path = as_kaggle(root) / file
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=words):
        CelebA(root=root).data("train")
