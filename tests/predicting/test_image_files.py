"""A model of a folder of images predicts files, folders and images in memory as it sees those of its own problem."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from moframework import ParetoModel, Run, get_problem, solve
from moframework.data import Split
from moframework.errors import DataError
from tests.pictures import write_pictures

HALF = [0.5, 0.5]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished `run`, its problem's `photos` and `labels.csv`."""
    folder = tmp_path_factory.mktemp("photos")
    names = [f"photos/{i:02}.png" for i in range(12)]
    write_pictures(folder, names)
    parts = ("train", "train", "test", "val")
    rows = [f"{i:02}.png,{100 * i},{('kitchen', 'bath', 'hall')[i % 3]},{parts[i % 4]}\n" for i in range(12)]
    (folder / "labels.csv").write_text("file,price,room,part\n" + "".join(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOFRAMEWORK_CACHE", str(folder / "cache"))
        spec = {
            "problem": {"name": "images", **options(folder), "backbone": {"name": "mlp", "hidden": [4]}},
            "solver": {"name": "palora", "rank": 1},
            "training": {"steps": 3, "batch_size": 6},
            "evaluate": {"points": 2},
        }
        solve(spec, folder / "run", device="cpu")
    return folder


def options(folder: Path) -> dict[str, object]:
    return {
        "folder": str(folder / "photos"), "table": str(folder / "labels.csv"), "size": [12, 8], "split": "part",
        "targets": {"price": "regression", "room": "classes"},
    }  # fmt: skip


def test_images_are_seen_as_in_training(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOFRAMEWORK_CACHE", str(home / "cache"))
    problem = get_problem("images", **options(home))
    split: Split = "test"
    data = problem.data(split)
    task = problem.tasks[0]
    moved = tmp_path / "new" / "inner"
    moved.mkdir(parents=True)
    for i in (2, 6, 10):
        shutil.copy(home / "photos" / f"{i:02}.png", moved)
    model = ParetoModel.load(home / "run")
    answers = model.predict(tmp_path / "new", HALF)
    assert answers["file"] == [f"inner/{i:02}.png" for i in (2, 6, 10)]
    with torch.no_grad():
        outputs = model(data.inputs.float() / 255, HALF)  # type: ignore[attr-defined]
    rooms = [("bath", "hall", "kitchen")[i] for i in outputs["room"].argmax(dim=1)]
    assert answers["room"].tolist() == rooms
    prices = outputs["price"][:, 0] * task.deviation + task.mean
    assert answers["price"].tolist() == pytest.approx(prices.tolist(), rel=1e-5)
    files = [moved / f"{i:02}.png" for i in (2, 6, 10)]
    with Image.open(files[0]) as first:
        mixed = model.predict([first, *files[1:]], HALF, batch_size=2)
    assert mixed["price"].tolist() == pytest.approx(answers["price"].tolist(), rel=1e-5)
    assert mixed["file"] == ["", *map(str, files[1:])]


def test_what_is_no_image_is_told(home: Path, tmp_path: Path) -> None:
    model = ParetoModel.load(home / "run")
    with pytest.raises(DataError, match=r"has no images: no file ends in \.jpg, \.jpeg, \.png"):
        model.predict(tmp_path, HALF)
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(DataError, match=r"a\.png cannot be read as an image"):
        model.predict(tmp_path, HALF)
    with pytest.raises(DataError, match="of images only `file` can be kept"):
        model.predict(tmp_path, HALF, keep=["id"])
    with pytest.raises(DataError, match=r"but not as a dict; prepared inputs as a tensor .*\(n, channels, height"):
        model.predict({"a": 1}, HALF)


def test_a_labeled_folder_evaluates_as_in_the_run(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The images and rows of the test split, elsewhere; those that were trained on are not there."""
    monkeypatch.setenv("MOFRAMEWORK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "new" / "photos").mkdir(parents=True)
    head, *rows = (home / "labels.csv").read_text().splitlines()
    (tmp_path / "new" / "labels.csv").write_text("\n".join([head, *rows[2::4]]) + "\n")
    for i in (2, 6, 10):
        shutil.copy(home / "photos" / f"{i:02}.png", tmp_path / "new" / "photos")
    away = (home / "photos").rename(home / "away"), (home / "labels.csv").rename(home / "away.csv")
    try:
        stored = Run(home / "run").front("test")
        for data in (tmp_path / "new", tmp_path / "new" / "labels.csv"):
            found = Run(home / "run").evaluate(data=data)
            np.testing.assert_allclose(found.losses, stored.losses, rtol=1e-6)
            np.testing.assert_allclose(found.metrics["price/mae"], stored.metrics["price/mae"], rtol=1e-6)
        (tmp_path / "new" / "labels.csv").write_text(f"{head}\n02.png,1,castle,test\n")
        with pytest.raises(DataError, match=r"labels.csv: target 'room' has the class 'castle' in line 2"):
            Run(home / "run").evaluate(data=tmp_path / "new")
    finally:
        away[0].rename(home / "photos")
        away[1].rename(home / "labels.csv")
