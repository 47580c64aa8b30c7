"""`images`: a folder of JPEG files and a table, declared in a spec, solved, and where they do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

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
        ({"targets": {"pric": "regression"}}, r"labels\.csv has no column 'pric'.*did you mean 'price'"),
        ({"file": "name"}, "has no column 'name'"),
        ({"split": "room"}, "column 'room' has 'kitchen' in line 2, but a split is one of train, val, test"),
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
