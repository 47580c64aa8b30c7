"""Data sets of tasks: who reads what, what stands for unknown; in a spec and in code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from moframework import load_spec, problem_from_parts
from moframework.augmentations import augmented
from moframework.config import build, unstructure
from moframework.config.schema import json_schema
from moframework.data import TensorData, batches
from moframework.data.collate import Collated
from moframework.data.composition import SetBatches
from moframework.data.pad import Pad
from moframework.errors import DataError, SpecError
from moframework.losses import MSE, BinaryCrossEntropy, CrossEntropy, Loss
from moframework.metrics import Accuracy
from moframework.problem import Problem
from moframework.problem.sets import data_of_sets, on_own_sets, set_notes
from moframework.problem.task import Task

NAN = float("nan")
SPLIT_NAMES = ("train", "val", "test")


def two() -> dict[str, TensorData]:
    digits = {"label": torch.tensor([0, 1, 2]), "bold": torch.tensor([True, False, True])}
    items = {"label": torch.tensor([3, 0]), "price": torch.tensor([1.0, 2.0])}
    return {"digit": TensorData(torch.zeros(3, 1), digits), "item": TensorData(torch.ones(2, 1), items)}


def classes(name: str, target: str | None = "label", **options: Any) -> Task:
    return Task(name=name, loss=CrossEntropy(**options), size=4, target=target)


def targets_of(tasks: list[Task]) -> dict[str, list[Any]]:
    sets = two()
    data: Any = data_of_sets(sets, on_own_sets(tasks, sets))
    return {key: target.tolist() for key, target in data.targets.items()}


def test_a_task_with_the_name_of_a_set_reads_that_set_alone() -> None:
    found = targets_of([classes("digit"), classes("item")])
    assert found["digit:label"] == [0, 1, 2, -100, -100]
    assert found["item:label"] == [-100, -100, -100, 3, 0]
    assert "label" not in found


def test_any_other_task_reads_every_set_that_has_its_target() -> None:
    tasks = [classes("any"), classes("one", "item:label"), Task(name="price", loss=MSE())]
    found = targets_of(tasks)
    assert found["label"] == [0, 1, 2, 3, 0]
    assert found["item:label"] == [-100, -100, -100, 3, 0]
    assert found["price"][3:] == [1.0, 2.0]
    assert np.isnan(found["price"][:3]).all()
    (note,) = set_notes(tasks, two())
    assert note.startswith(
        "target 'label' is in the sets digit, item, and any read it in all of them; `target: 'digit:l"
    )


def test_targets_that_no_task_reads_are_there_for_further_tasks() -> None:
    assert targets_of([classes("digit"), classes("item")])["bold"] == [1, 0, 1, -100, -100]


def test_the_only_target_of_a_set_needs_no_name() -> None:
    sets = {"digit": TensorData(torch.zeros(2, 1), {"class": torch.tensor([3, 1])})}
    data: Any = data_of_sets(sets, on_own_sets([classes("digit", None)], sets))
    assert data.targets["digit:digit"].tolist() == [3, 1]
    with pytest.raises(
        SpecError, match=r"task 'digit': set 'digit' has no target 'clas'; did you mean 'class'\? it has class"
    ):
        data_of_sets(sets, on_own_sets([classes("digit", "clas")], sets))


def test_tasks_and_sets_without_each_other_are_told() -> None:
    sets = two()
    with pytest.raises(SpecError) as error:
        data_of_sets(sets, on_own_sets([classes("a", "labels"), Task(name="item", loss=MSE())], sets))
    first, second = str(error.value).splitlines()
    assert first == (
        "task 'a': no set has the target 'labels'; did you mean 'label'? digit has label, bold; item has label, price"
    )
    assert second.startswith("task 'item': set 'item' has no target 'item'; it has label, price")
    with pytest.raises(SpecError, match=r"problem\.data\.item: no task reads this set; its targets are label, price"):
        data_of_sets(sets, on_own_sets([classes("digit")], sets))


class Minus(Loss):
    """Which takes −1 for unknown, and says so only in `known`."""

    def known(self, target: Tensor) -> Tensor:
        return target != -1


@pytest.mark.parametrize(
    ("task", "target", "number"),
    [
        (classes("y", "y"), torch.tensor([1]), -100),
        (classes("y", "y", ignore_index=9), torch.tensor([1]), 9),
        (Task(name="y", loss=BinaryCrossEntropy(), metrics=(Accuracy(),)), torch.tensor([True]), -100),
        (Task(name="y", loss=BinaryCrossEntropy()), torch.tensor([0.5]), NAN),
        (Task(name="y", loss=MSE()), torch.tensor([3]), NAN),
        (Task(name="y", loss=MSE(), metrics=(Accuracy(),)), torch.tensor([3]), NAN),
    ],
)
def test_what_stands_for_unknown(task: Task, target: Tensor, number: float) -> None:
    sets = {"a": TensorData(torch.zeros(1, 1), {"y": target}), "b": TensorData(torch.zeros(1, 1), {"z": target})}
    data: Any = data_of_sets(sets, [task, Task(name="z", loss=task.loss, size=task.size)])
    assert float(data.targets["y"][1]) == pytest.approx(number, nan_ok=True)
    assert task.loss.known(data.targets["y"]).tolist() == [True, False]


def test_losses_and_metrics_that_ignore_different_classes_are_refused() -> None:
    task = Task(name="digit", loss=CrossEntropy(ignore_index=-1), metrics=(Accuracy(),), size=4, target="label")
    with pytest.raises(DataError, match=r"target 'digit:label' .* \(ignore_index\), but ignore -100, -1"):
        data_of_sets(two(), on_own_sets([task, classes("item")], two()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, n in (("digits", 40), ("items", 30)):
        np.savez(tmp_path / f"{name}.npz", inputs=rng.normal(size=(n, 3)), label=rng.integers(0, 4, size=n))
    return tmp_path


SPEC = """problem:
  data:
    digit: {name: npz, path: digits.npz}
    item: {name: npz, path: items.npz}
  backbone: {name: mlp, hidden: [8]}
  tasks:
    digit: {loss: cross_entropy, size: 4}
    item: {loss: cross_entropy, size: 4, metrics: [accuracy]}
solver: palora
training: {epochs: 1}
"""


def written(folder: Path, old: str = "", new: str = "") -> Path:
    assert old in SPEC
    (folder / "spec.yaml").write_text(SPEC.replace(old, new))
    return folder / "spec.yaml"


def test_a_spec_with_a_data_set_for_each_task(folder: Path) -> None:
    problem = load_spec(written(folder)).problem
    assert [task.target_key for task in problem.tasks] == ["digit:digit", "item:item"]
    assert [task.output_key for task in problem.tasks] == ["digit", "item"]
    data: Any = problem.data("train")
    assert data.epochs.sizes == {"digit": 28, "item": 21}
    assert (data.targets["digit:digit"][28:] == -100).all()
    assert (data.targets["item:item"][28:] >= 0).all()
    problem.check()
    plain = unstructure(problem)
    again = build(Problem, plain)  # type: ignore[type-abstract]
    assert again == problem
    json.dumps(plain)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "path: digits.npz",
            "pth: digits.npz",
            ":3:24: problem.data.digit.pth: unknown key; did you mean 'path'? allowed: path",
        ),
        ("{name: npz, path: items.npz}", "{path: items.npz}", "problem.data.item.name: is missing: which data source?"),
        ("name: npz, path: digits.npz", "name: npzz", ":3:19: problem.data.digit.name: no data source called 'npzz'"),
        (
            "  backbone",
            "  batches: {ratio: {digit: 1}}\n  backbone",
            "problem.batches.ratio: needs a number for each set",
        ),
        ("  backbone", "  batches: {by: turns}\n  backbone", "problem.batches.by: must be 'ratio' or 'turn'"),
        ("    digit: {name", "    di/git: {name", "problem.data: must name sets by text without colons, dots"),
        (
            SPEC[SPEC.index("    digit") : SPEC.index("  back")],
            "    {}\n",
            "problem.data: must be a source, or name at least",
        ),
        (
            SPEC[SPEC.index("    digit") : SPEC.index("  back")],
            "    path: a.npz\n",
            "problem.data.name: is missing: which",
        ),
    ],
)
def test_what_is_wrong_with_sets_is_told_with_its_place(folder: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(SpecError) as error:
        load_spec(written(folder, old, new))
    assert words in str(error.value)


def test_batches_are_about_several_sets(folder: Path) -> None:
    sets = SPEC[SPEC.index("    digit") : SPEC.index("  back")]
    spec = written(folder, sets, "    {name: npz, path: digits.npz}\n  batches: {by: turn}\n")
    with pytest.raises(SpecError, match=r"problem\.batches: is about several sources, but data is one"):
        load_spec(spec)


def test_the_schema_knows_both_forms() -> None:
    schema = json_schema(Problem)
    rest = {"backbone": "lenet", "tasks": {"a": {"loss": "mse"}}}
    npz = {"name": "npz", "path": "a.npz"}
    for data in (npz, {"a": npz}, {"a": npz, "b": "mnist"}):
        jsonschema.validate({"data": data, **rest, "batches": {"by": "turn", "ratio": {"a": 2}}}, schema)
    for data in ({"a": {"path": "a.npz"}}, {"a": "npzz"}, [npz]):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"data": data, **rest}, schema)


def test_maps_of_a_set_are_augmented_too(tmp_path: Path) -> None:
    pictures = np.arange(96.0).reshape(6, 1, 4, 4).astype(np.float32)
    np.savez(tmp_path / "rooms.npz", inputs=pictures, depth=pictures, split=np.array([0, 0, 1, 1, 2, 2]))
    np.savez(tmp_path / "flat.npz", inputs=pictures, color=pictures.mean(axis=(1, 2, 3)), split=np.arange(6) % 3)
    given = {
        "data": {name: {"name": "npz", "path": str(tmp_path / f"{name}.npz")} for name in ("rooms", "flat")},
        "backbone": {"name": "segnet", "width": 4},
        "tasks": {"rooms": {"loss": "l1", "target": "depth"}, "color": {"loss": "mse"}},
        "augmentation": [{"name": "flip", "probability": 1.0}],
    }
    problem = build(Problem, {**given, "maps": {"depth": "values"}})  # type: ignore[type-abstract]
    x, targets = next(batches(problem.data("train"), 2, order=None, device="cpu"))
    assert problem.maps == {"rooms:depth": "values"}
    flipped, changed = augmented(problem.augmentation, x, targets, problem.maps, torch.Generator().manual_seed(0))
    assert torch.equal(flipped, changed["rooms:depth"])  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=r"maps\.dept: is read by no task; did you mean 'depth'\? they read .*"):
        build(Problem, {**given, "maps": {"dept": "values"}})  # type: ignore[type-abstract]


def test_a_set_that_lacks_a_split_is_named(folder: Path) -> None:
    np.savez(folder / "items.npz", inputs=np.zeros((4, 3)), label=np.zeros(4, dtype=int), split=np.array([0, 0, 1, 1]))
    with pytest.raises(DataError, match=r"problem.data.item: .*items.npz has no samples for 'test'"):
        load_spec(written(folder)).problem.data("test")


def test_a_problem_is_a_source(folder: Path) -> None:
    rows = [f"{i / 10},{i % 3},{i / 7}" for i in range(30)]
    (folder / "houses.csv").write_text("area,rooms,price\n" + "\n".join(rows))
    (folder / "flats.csv").write_text("area,rooms,rent\n" + "\n".join(rows))
    sets = "".join(
        f"    {key}: {{name: problem, of: {{name: csv, path: {file}.csv, targets: {{{key}: regression}}}}}}\n"
        for key, file in (("price", "houses"), ("rent", "flats"))
    )
    text = SPEC.replace(SPEC[SPEC.index("    digit") : SPEC.index("  back")], sets)
    text = (
        text[: text.index("    digit: {loss")]
        + "    price: {loss: mse}\n    rent: {loss: mse}\nsolver: palora\ntraining: {epochs: 1}\n"
    )
    (folder / "spec.yaml").write_text(text)
    problem = load_spec(folder / "spec.yaml").problem
    problem.check()
    assert problem.notes[0].startswith("price: houses.csv: numbers area, rooms")
    assert int(problem.data("train").targets["rent:rent"].isnan().sum()) == 21  # type: ignore[attr-defined]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.digit, self.item = nn.Linear(1, 4), nn.Linear(1, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.digit(x), self.item(x)


TASKS = {"digit": {"loss": "cross_entropy", "size": 4}, "item": {"loss": "cross_entropy", "size": 4}}
PAIRS = {"digit": (torch.zeros(3, 1), torch.tensor([0, 1, 2])), "item": (torch.ones(2, 1), torch.tensor([3, 3]))}
SETS: dict[str, Any] = {name: dict.fromkeys(SPLIT_NAMES, pair) for name, pair in PAIRS.items()}


def test_sets_in_code() -> None:
    problem = problem_from_parts(TASKS, Net, SETS, batches={"by": "turn"})
    data: Any = problem.data("val")
    assert data.targets["digit:digit"].tolist() == [0, 1, 2, -100, -100]
    assert data.epochs.batches == SetBatches(by="turn")
    problem.check()
    asked = {"digit": lambda split: PAIRS["digit"], "item": SETS["item"]}
    assert torch.equal(
        problem_from_parts(TASKS, Net, asked).data("val").targets["item:item"], data.targets["item:item"]
    )  # type: ignore[attr-defined]


def test_sets_in_code_with_one_collate_function() -> None:
    texts = {name: dict.fromkeys(SPLIT_NAMES, _Texts(length)) for name, length in (("digit", 2), ("item", 5))}

    def collate(items: list[Any]) -> Any:
        return Pad().batch(items)

    for given in (Pad(), collate):
        data = problem_from_parts(TASKS, Net, texts, collate=given).data("train")
        assert isinstance(data, Collated)
        x, targets = next(batches(data, 6, order=None, device="cpu"))
        assert x.shape == (6, 5)  # type: ignore[union-attr]
        assert targets["item:item"].tolist() == [-100] * 3 + [1] * 3


class _Texts(torch.utils.data.Dataset[Any]):
    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        return torch.ones(self.length), torch.tensor(1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"digit": SETS["digit"], "item": {"train": PAIRS["item"]}}}, "data of set 'item' .* lacks val, test"),
        ({"data": {"train": PAIRS["item"]}}, "data must have train, val and test, but lacks val, test"),
        (
            {"batches": {"ratio": {"digit": 1}}},
            "batches.ratio needs a number for each set, but has none for item",
        ),
        ({"data": SETS["digit"], "batches": SetBatches()}, "batches is about several data sets, but data is one"),
        ({"data": {"a:b": SETS["item"]}}, "data must name sets by text without colons, .* but it is 'a:b'"),
        ({"batches": {"by": "chance"}}, "by: must be 'ratio' or 'turn'"),
    ],
)
def test_sets_in_code_that_do_not_fit(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        problem_from_parts(**{"tasks": TASKS, "network": Net, "data": SETS, **changes})
