"""How many labels each task has: counted, told by `check`, kept with a run, and refused where there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from moframework import Run, check, load_spec, problem_from_parts, solve
from moframework.data import SPLITS, Dataset, Split, TensorData
from moframework.errors import DataError
from moframework.io.sealed import read_json
from moframework.losses import MSE, BinaryCrossEntropy, CrossEntropy
from moframework.metrics import MAE, R2, RMSE
from moframework.problem import Problem
from moframework.problem.task import Task
from moframework.run.labels import Labels, check_labels, count_labels, label_lines, unit_lines, weight_lines
from moframework.run.report import as_text

NAN = float("nan")
TASKS = (Task(name="price", loss=MSE()), Task(name="kind", loss=CrossEntropy(ignore_index=-1), size=3))


class Items(torch.utils.data.Dataset[Any]):
    """Rows that are loaded one by one; each has a label of one of two tasks."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, i: int) -> Any:
        x = torch.rand(2, generator=torch.Generator().manual_seed(i))
        price, sold = (x.sum(), torch.tensor(-100)) if i % 2 == 0 else (torch.tensor(NAN), (x[0] > x[1]).long())
        return x, {"price": price, "sold": sold}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.price, self.sold = nn.Linear(2, 16), nn.Linear(16, 1), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.body(x).relu()
        return self.price(hidden), self.sold(hidden)


def halves(size: int = 200) -> Problem:
    tasks: Any = {
        "price": {"loss": "mse", "metrics": ["mae"]},
        "sold": {"loss": "binary_cross_entropy", "metrics": ["accuracy"]},
    }
    return problem_from_parts(tasks, Net, lambda split: Items(size), reference=(1, 1))


def in_memory(price: list[float], kind: list[int]) -> TensorData:
    return TensorData(torch.zeros(len(price), 1), {"price": torch.tensor(price), "kind": torch.tensor(kind)})


def test_labels_in_memory_are_all_counted() -> None:
    data: dict[Split, Dataset] = {
        "train": in_memory([1.0, NAN, 0.0], [-1, 0, 2]),
        "test": in_memory([1.0, 2.0], [-100, 1]),  # a class like any other to this loss
    }
    found = count_labels(TASKS, data)
    assert found == {
        "train": Labels(3, 3, {"price": 2, "kind": 2}),
        "test": Labels(2, 2, {"price": 2, "kind": 2}),
    }
    assert label_lines(found) == ["price: train 2, test 2", "kind: train 2, test 2"]
    assert label_lines({"test": found["test"]}) == [], "nothing to tell where none is missing"


def test_a_map_counts_where_any_of_it_is_known() -> None:
    tasks = (Task(name="map", loss=MSE()), Task(name="seen", loss=BinaryCrossEntropy()))
    maps = torch.tensor([[[NAN, 1.0]], [[NAN, NAN]]])
    data = TensorData(torch.zeros(2, 1), {"map": maps, "seen": torch.tensor([NAN, 1.0])})
    assert count_labels(tasks, {"train": data})["train"].counts == {"map": 1, "seen": 1}


@pytest.mark.parametrize(("size", "looked", "price"), [(60, 60, 30), (1000, 64, 32)])
def test_of_loaded_samples_some_are_looked_at(size: int, looked: int, price: int) -> None:
    found = count_labels(halves().tasks, {"train": Items(size)})["train"]
    assert (found.samples, found.of) == (looked, size)
    assert found.counts["price"] == pytest.approx(price, abs=2)
    assert found.counts["price"] + found.counts["sold"] == looked
    told = label_lines({"train": found})
    assert told[0] == f"price: train {found.counts['price']}"
    assert (told[-1] == "counted in samples evenly spread: train 64") == (size == 1000)


def test_a_split_without_a_label_is_refused() -> None:
    found = count_labels(TASKS, {"train": in_memory([1.0], [0]), "test": in_memory([NAN, NAN], [0, -1])})
    with pytest.raises(DataError, match="no sample of the test split has a label of task 'price': all 2 are unknown"):
        check_labels(found)
    check_labels({"test": Labels(256, 1000, {"price": 0})})  # among the others there may be one


def test_what_classes_weigh_and_which_unit_a_figure_has_is_told() -> None:
    tasks = [
        Task(name="kind", loss=CrossEntropy(weight=(0.5, 2.0)), size=2),
        Task(name="sold", loss=BinaryCrossEntropy(positive_weight=3.0)),
        Task(name="price", loss=MSE(), metrics=(MAE(), R2(), RMSE()), mean=100.0, deviation=12.5),
    ]
    assert weight_lines(tasks) == ["kind: classes weigh 0.5, 2", "sold: classes weigh 1, 3"]
    assert unit_lines(tasks) == [
        "price: mae, rmse in the target's own units; the loss is of the standardized target, of which 1 is 12.5 and 0 "
        "is 100"
    ]


def test_check_and_run_tell_the_labels(tmp_path: Path) -> None:
    spec = load_spec(
        {"solver": {"name": "palora"}, "training": {"epochs": 2, "batch_size": 8}, "evaluate": {"points": 3}}
        | {"problem": {"python": "tests.run.test_labels:halves", "size": 40}}
    )
    lines = check(spec)
    assert "labels      price: train 20, val 20, test 20" in lines
    assert "            sold: train 20, val 20, test 20" in lines
    run = solve(spec, tmp_path / "run", device="cpu")
    labels = {"counted_in": 40, "by_task": {"price": 20, "sold": 20}}
    for name in ("data.json", "report.json"):
        kept = read_json(run.path / name, advice="")
        where = kept if name == "data.json" else {split: {"labels": kept["labels"][split]} for split in SPLITS}
        assert all(where[split]["labels"] == labels for split in SPLITS)
    page = read_json(run.path / "report.json", advice="")
    assert "  train                 price 20, sold 20 (of 40 samples)" in as_text(page)
    assert not any("exactly 0" in note for note in page["notes"])
    assert "Labels" not in as_text({**page, "labels": {}})


def test_losses_of_a_run_are_those_of_the_labels_there_are(tmp_path: Path) -> None:
    """The front, over batches of 7, against means by hand over the rows that have each label."""
    spec = {
        "problem": {"python": "tests.run.test_labels:halves", "size": 50},
        "solver": {"name": "palora"},
        "training": {"epochs": 1, "batch_size": 7},
    }
    run = solve(load_spec({**spec, "evaluate": {"points": 3, "batch_size": 7}}), tmp_path / "run", device="cpu")
    front, model = Run(run.path).front("test"), run.model(trust=True)
    rows = [Items(50)[i] for i in range(50)]
    x = torch.stack([row[0] for row in rows])
    for j, preference in enumerate(front.preferences):
        with torch.no_grad():
            outputs = model.eval()(x, torch.tensor(preference).float())
        price, sold = outputs["price"][::2, 0], outputs["sold"][1::2, 0]
        right = torch.stack([row[1]["price"] for row in rows[::2]])
        class_ = torch.stack([row[1]["sold"] for row in rows[1::2]])
        assert front.losses[j, 0] == pytest.approx(float((price - right).square().mean()), rel=1e-5)
        expected = nn.functional.binary_cross_entropy_with_logits(sold, class_.float())
        assert front.losses[j, 1] == pytest.approx(float(expected), rel=1e-5)
        assert front.metrics["price/mae"][j] == pytest.approx(float((price - right).abs().mean()), rel=1e-5)
        assert front.metrics["sold/accuracy"][j] == pytest.approx(float(((sold > 0) == class_).float().mean()))
