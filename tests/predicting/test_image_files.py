"""A model of a folder of images predicts files, folders and images in memory as it sees those of its own problem."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from moframework import ParetoModel, get_problem, solve
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
