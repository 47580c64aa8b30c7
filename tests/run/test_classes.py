"""How often each class occurs: told by `check`, with a note of those that training never sees, or hardly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from moframework import check
from moframework.data import Dataset, Split, TensorData
from moframework.losses import MSE, BinaryCrossEntropy, CrossEntropy
from moframework.predicting import Answer
from moframework.problem.task import Task
from moframework.run.classes import ClassCounts, class_lines, class_notes, count_classes

TASKS = (
    Task(name="kind", loss=CrossEntropy(ignore_index=-1), size=3),
    Task(name="sold", loss=BinaryCrossEntropy()),
    Task(name="price", loss=MSE()),
)
ANSWERS = (
    Answer(task="kind", output="kind", kind="classes", categories=("flat", "house", "barn")),
    Answer(task="sold", output="sold", kind="binary"),
    Answer(task="price", output="price", kind="numbers"),
)


def rows(kind: list[int], sold: list[float]) -> TensorData:
    n = len(kind)
    return TensorData(
        torch.zeros(n, 1), {"kind": torch.tensor(kind), "sold": torch.tensor(sold), "price": torch.zeros(n)}
    )


def test_classes_are_counted_where_one_is_known_a_sample() -> None:
    nan = float("nan")
    data: dict[Split, Dataset] = {
        "train": rows([0, 0, 1, -1], [0, 1, 1, nan]), "val": rows([2], [0]), "test": rows([1], [0])
    }  # fmt: skip
    kind, sold = count_classes(TASKS, ANSWERS, data)
    assert kind == ClassCounts(
        "kind", ("flat", "house", "barn"), {"train": (2, 1, 0), "val": (0, 0, 1), "test": (0, 1, 0)}
    )
    assert (sold.names, sold.counts["train"]) == (("0", "1"), (1, 2))
    assert class_lines([kind, sold]) == ["kind: flat (2), house (1), barn (0)", "sold: 0 (1), 1 (2)"]


@pytest.mark.parametrize(
    "target",
    [torch.tensor([0.3, 0.7]), torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.zeros(2, 4, 4, dtype=torch.long)],
    ids=["shares", "several labels", "segmentation"],
)
def test_what_is_no_class_a_sample_is_left_out(target: torch.Tensor) -> None:
    data = TensorData(torch.zeros(2, 1), {"sold": target})
    assert count_classes(TASKS[1:2], ANSWERS[1:2], {"train": data}) == []


def test_many_classes_and_many_tasks_have_short_lines() -> None:
    many = ClassCounts("code", tuple(f"c{i}" for i in range(40)), {"train": tuple(range(40))})
    (line,) = class_lines([many])
    assert line == "code: c39 (39), c38 (38), c37 (37), c36 (36), c35 (35) and 35 more classes (0 to 34 each)"
    assert class_lines([many] * 12)[-1] == "and 2 more tasks"
    assert len(class_lines([many] * 12)) == 11


def test_classes_that_training_never_sees_or_hardly_are_noted() -> None:
    found = ClassCounts(
        "kind", ("a", "b", "c", "d"), {"train": (50, 4, 0, 0), "val": (9, 0, 1, 0), "test": (9, 1, 1, 0)}
    )
    unseen, few = class_notes([found])
    assert unseen.startswith("task 'kind': class c occurs in val or test but in no training sample")
    assert few.startswith("task 'kind': class b (4) has fewer than 5 training samples")
    rare = ClassCounts("kind", tuple("abcdefg"), {"train": (1,) * 7})
    assert "classes a (1), b (1), c (1), d (1), e (1) and 2 more have fewer" in class_notes([rare])[0]


def test_check_tells_the_classes_of_a_table(tmp_path: Path) -> None:
    cells = [f"{i},{i * 3.5},{'yes' if i % 4 == 0 else 'no'}" for i in range(80)]
    (tmp_path / "t.csv").write_text("\n".join(["size,price,sold", *cells]))
    problem = {"name": "csv", "path": str(tmp_path / "t.csv"), "targets": {"price": "regression", "sold": "binary"}}
    lines = check({"problem": problem, "solver": "palora", "training": {"steps": 2, "batch_size": 8}})
    (line,) = (line for line in lines if line.startswith("classes"))
    assert line.startswith("classes     sold: no (")
    assert line.endswith(")")


def test_check_tells_many_tasks_and_their_reference_in_short() -> None:
    problem = {"name": "textures", "attributes": 12, "train": 64, "val": 32, "test": 32}
    lines = check({"problem": problem, "solver": "palora", "training": {"steps": 2, "batch_size": 16}})
    assert lines[0] == "problem     12 tasks: attribute1 to attribute12 (binary_cross_entropy, accuracy)"
    assert any(line.endswith("hypervolume below (1 for each of 12 tasks)") for line in lines)


@pytest.mark.parametrize(("steps", "noted"), [(49, True), (50, False)])
def test_check_notes_a_training_of_few_steps(steps: int, noted: bool) -> None:
    lines = check({"problem": "quadratics", "solver": "pamal", "training": {"steps": steps}})
    assert any(f"{steps} steps are few to learn anything" in line for line in lines) == noted
