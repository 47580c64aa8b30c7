"""`images`: a folder of JPEG files and a table, declared in a spec, solved, and where they do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from moframework import check, solve
from moframework.data import SPLITS, where
from moframework.data.images import read_image
from moframework.errors import DataError, SpecError
from moframework.losses import L1, MSE, BinaryCrossEntropy, CrossEntropy
from moframework.problem import Problem, get_problem
from tests.pictures import write_pictures

COUNT = 12
HEADER = "file,price,sold,room,part\n"
PARTS = ("train", "Train", "test", "val")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOFRAMEWORK_CACHE", str(tmp_path / "cache"))
    names = [f"photos/{i}.jpg" for i in range(COUNT)]
    write_pictures(tmp_path, names)
    rows = [
        f"{i}.jpg,{100 * i},{'yes' if i % 3 else 'no'},{('kitchen', 'bath', 'hall')[i % 3]},{PARTS[i % 4]}\n"
        for i in range(COUNT)
    ]
    (tmp_path / "labels.csv").write_text(HEADER + "".join(rows))
    return tmp_path


def options(where: Path, **changes: Any) -> dict[str, Any]:
    return {
        "folder": str(where / "photos"),
        "table": str(where / "labels.csv"),
        "targets": {"price": "regression", "sold": "binary", "room": "classes"},
        "size": [12, 8],
        **changes,
    }


def problem(where: Path, **changes: Any) -> Problem:
    return get_problem("images", **options(where, **changes))


def test_tasks_follow_from_the_targets(folder: Path) -> None:
    tasks = problem(folder).tasks
    assert [(task.name, task.loss, task.size) for task in tasks] == [
        ("price", MSE(), 1),
        ("sold", BinaryCrossEntropy(), 1),
        ("room", CrossEntropy(), 3),
    ]
    assert problem(folder).input_shape == (3, 12, 8)
    changed = problem(folder, gray=True, tasks={"price": {"loss": "l1"}}, backbone={"name": "lenet", "kernel": 2})
    assert changed.tasks[0].loss == L1()
    assert changed.input_shape == (1, 12, 8)
    changed.check()


def test_a_split_column(folder: Path) -> None:
    made = problem(folder, split="part")
    rows = {"train": [0, 1, 4, 5, 8, 9], "val": [3, 7, 11], "test": [2, 6, 10]}
    for split in SPLITS:
        data: Any = made.data(split)
        assert data.targets["sold"].tolist() == [int(i % 3 > 0) for i in rows[split]]
        assert data.targets["room"].tolist() == [(2, 0, 1)[i % 3] for i in rows[split]]  # bath, hall, kitchen
        for position, i in enumerate(rows[split]):
            assert torch.equal(data.inputs[position], read_image(folder / "photos" / f"{i}.jpg", (12, 8)))
        train = 100.0 * np.array(rows["train"])
        expected = (100.0 * np.array(rows[split]) - train.mean()) / train.std()
        np.testing.assert_allclose(data.targets["price"].numpy(), expected, rtol=1e-5)


def test_labels_of_an_image_may_be_missing(folder: Path) -> None:
    """An empty cell is no class and no number; an image without any label is left out."""
    table = (folder / "labels.csv").read_text().splitlines()
    table[1] = "0.jpg,,no,,train"
    table[2] = "1.jpg,100,NA,bath,train"
    table[5] = "4.jpg,,?,,train"
    (folder / "labels.csv").write_text("\n".join(table) + "\n")
    made = problem(folder, split="part")
    data: Any = made.data("train")
    assert [task.size for task in made.tasks] == [1, 1, 3], "no class for what is missing"
    assert len(data) == 5
    assert data.targets["sold"].tolist() == [0, -100, 1, 1, 0]
    assert data.targets["room"].tolist() == [-100, 0, 1, 1, 2]
    known = np.array([100.0, 500, 800, 900])
    np.testing.assert_allclose(data.targets["price"][1:], (known - known.mean()) / known.std(), rtol=1e-5)
    assert torch.isnan(data.targets["price"][0])
    assert torch.equal(data.inputs[2], read_image(folder / "photos" / "5.jpg", (12, 8)))
    made.check()
    both = {"price": "regression", "sold": "binary"}
    dropped: Any = problem(folder, split="part", missing_targets="drop", targets=both).data("train")
    assert len(dropped) == 3
    with pytest.raises(DataError, match="target 'price' is missing in 2 rows, first in line 2"):
        problem(folder, split="part", missing_targets="refuse").data("train")


def test_a_random_split_is_that_of_the_seed(folder: Path) -> None:
    def files(seed: int) -> list[list[str]]:
        made = problem(folder, fractions=[0.5, 0.25, 0.25], seed=seed, targets={"price": "regression"})
        parts = [made.data(split) for split in SPLITS]
        return [[str(where(part, i)) for i in range(len(part))] for part in parts]  # type: ignore[arg-type]

    assert [len(part) for part in files(0)] == [6, 3, 3]
    assert sorted(i for part in files(0) for i in part) == sorted(str(folder / f"photos/{i}.jpg") for i in range(COUNT))
    assert files(0) == files(0)
    assert files(0) != files(1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"targets": {"pric": "regression"}},
            r"labels\.csv has no column 'pric', which `targets` names; did you mean 'price'",
        ),
        ({"file": "name"}, "has no column 'name', which `file` names"),
        ({"split": "room"}, "column 'room' has 'kitchen' in lines 2, 5, 8 and 1 more, but a split is one of"),
        ({"fractions": [0.9, 0.0, 0.1]}, "has 12 rows, and none for 'val': change the option `fractions`"),
        ({"targets": {"room": "binary"}}, "'room' is to be binary, but has 3 values"),
        ({"table": "nothing.csv"}, r"nothing\.csv cannot be read"),
        ({"folder": "elsewhere"}, r"0\.jpg cannot be read: No such file"),
    ],
)
def test_what_does_not_fit(folder: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        problem(folder, **changes).data("val")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"targets": {}}, "targets: .*at least one column"),
        ({"targets": {"a.b": "binary", "a_b": "binary"}}, "targets: .*two tasks of one name"),
        ({"targets": {"price": "number"}}, "targets.price: .*regression"),
        ({"fractions": [0.5, 0.1, 0.1]}, "fractions: .*add up to 1, but add up to 0.7"),
    ],
)
def test_options_that_are_wrong(folder: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        problem(folder, **changes)


def test_a_spec_is_solved(folder: Path) -> None:
    spec = {
        "problem": {"name": "images", **options(folder), "backbone": {"name": "lenet", "channels": [4], "kernel": 3}},
        "solver": {"name": "palora", "rank": 1, "preferences": {"name": "annealed", "per_batch": 3, "batch": "split"}},
        "training": {"steps": 2, "batch_size": 4},
        "evaluate": {"points": 3},
    }
    assert any("price (mse, mae), sold (binary_cross_entropy, accuracy, f1)" in line for line in check(spec))
    front = solve(spec, folder / "run").front("test")
    assert front.losses.shape == (3, 3)
    assert np.isfinite(front.losses).all()


def relabel(folder: Path, old: str, new: str) -> None:
    path = folder / "labels.csv"
    path.write_text(path.read_text().replace(old, new, 1))


def test_unknown_labels_are_no_class(folder: Path) -> None:
    """As in `csv`: refused with the line, or left out."""
    relabel(folder, "kitchen", "?")
    with pytest.raises(DataError, match=r"labels\.csv: target 'room' is missing in 1 rows, first in line 2: .*: drop"):
        problem(folder, missing_targets="refuse").data("train")
    dropped = problem(folder, missing_targets="drop", split="part")
    assert dropped.tasks[2].size == 3
    files = [where(dropped.data("train"), i) for i in range(len(dropped.data("train")))]  # type: ignore[arg-type]
    assert files == [str(folder / f"photos/{i}.jpg") for i in (1, 4, 5, 8, 9)]
    as_class = problem(folder, missing=["none"], split="part")
    assert as_class.tasks[2].size == 4, "where it is said that it means something"


def test_labels_with_a_full_stop(folder: Path) -> None:
    relabel(folder, "hall", "hall.")
    made = problem(folder, split="part")
    assert made.tasks[2].size == 3
    assert made.notes == ("target 'room': 'hall.' counts as 'hall'",)


def test_classes_that_training_never_sees(folder: Path) -> None:
    relabel(folder, "hall,test", "attic,test")
    with pytest.raises(DataError, match=r"target 'room' has the class 'attic' in test \(line 4\), but not in the"):
        problem(folder, split="part").data("train")


def test_ids_without_a_suffix(folder: Path) -> None:
    before: Any = problem(folder, split="part").data("val")
    path = folder / "labels.csv"
    path.write_text(path.read_text().replace(".jpg", ""))
    with pytest.raises(DataError, match=r"line 2, names it\. There is 0\.jpg: if .*`suffix: \.jpg`"):
        problem(folder, split="part").data("val")
    found: Any = problem(folder, split="part", suffix=".jpg").data("val")
    assert torch.equal(found.inputs, before.inputs)
    relabel(folder, "3,", "3.JPG,")
    (folder / "photos" / "3.jpg").rename(folder / "photos" / "3.JPG")
    assert torch.equal(problem(folder, split="part", suffix=".jpg").data("val").inputs, before.inputs)  # type: ignore[attr-defined]


def test_names_that_begin_with_the_folder(folder: Path) -> None:
    path = folder / "labels.csv"
    path.write_text("\n".join(f"photos/{line}" if ".jpg" in line else line for line in path.read_text().splitlines()))
    with pytest.raises(
        DataError, match=r"There is .*photos/0\.jpg: if the names begin .* set `folder` to the one above"
    ):
        problem(folder).data("val")
    assert len(problem(folder, folder=str(folder), split="part").data("val")) == 3  # type: ignore[arg-type]


def test_tables_written_otherwise(folder: Path) -> None:
    before: Any = problem(folder, split="part").data("val")
    path = folder / "labels.csv"
    text = path.read_text()
    for mark, told in ((";", "semicolons"), ("\t", "tabs")):
        path.write_text("# rooms\n" + text.replace(",", mark))
        made = problem(folder, split="part", comment="#")
        assert torch.equal(made.data("val").inputs, before.inputs)  # type: ignore[attr-defined]
        assert made.notes == (f"labels.csv is separated by {told}",)
    path.write_text(text.partition("\n")[2])
    named = problem(folder, split="part", names=HEADER.strip().split(","))
    assert torch.equal(named.data("val").inputs, before.inputs)  # type: ignore[attr-defined]


def test_images_of_sixteen_bits(folder: Path) -> None:
    path = folder / "labels.csv"
    path.write_text(path.read_text().replace(".jpg", ".png"))
    for i in range(COUNT):
        Image.fromarray(np.full((12, 8), 5000 * i, dtype=np.uint16)).save(folder / "photos" / f"{i}.png")
    made = problem(folder, split="part", gray=True)
    data: Any = made.data("val")
    assert data.inputs.dtype == torch.float32
    assert [float(image.max()) for image in data.inputs] == pytest.approx([5000 * i / 65535 for i in (3, 7, 11)])
    assert made.notes == ("images are kept as float32, since the first has more than 8 bits",)
    small: Any = problem(folder, split="part", gray=True, pixels="uint8").data("val")
    assert small.inputs.dtype == torch.uint8
    assert [int(image.max()) for image in small.inputs] == [round(5000 * i / 257) for i in (3, 7, 11)]


def test_a_line_without_the_name_of_an_image(folder: Path) -> None:
    relabel(folder, "2.jpg", "")
    with pytest.raises(DataError, match=r"labels\.csv: column 'file' names no image in line 4"):
        problem(folder).data("train")
