"""Tasks and what a spec may say of them."""

from __future__ import annotations

import pytest
import torch

from moframework.config import OptionError, build, unstructure
from moframework.errors import SpecError
from moframework.losses import MSE, CrossEntropy
from moframework.metrics import F1, MAE, R2, RMSE, Accuracy, RelativeError
from moframework.problem.task import Task, TaskOptions


def test_keys_default_to_the_name() -> None:
    task = Task(name="left", loss=CrossEntropy(), size=10)
    assert (task.output_key, task.target_key, task.metrics) == ("left", "left", ())
    task = Task(name="parity", loss=MSE(), output="income", target="sex")
    assert (task.output_key, task.target_key) == ("income", "sex")


@pytest.mark.parametrize("name", ["", "a/b", "a.b", " a"])
def test_names_that_results_cannot_use(name: str) -> None:
    with pytest.raises(OptionError, match="name must be text without dots, slashes or outer blanks") as error:
        Task(name=name, loss=MSE())
    assert error.value.key == "name"
    with pytest.raises(OptionError, match="output must be"):
        Task(name="a", loss=MSE(), output=name)


def test_metrics_have_different_labels() -> None:
    with pytest.raises(OptionError, match="task 'a' hold 'f1' twice"):
        Task(name="a", loss=CrossEntropy(), metrics=(F1(), Accuracy(), F1(average="micro")))


def test_metrics_in_the_unit_of_the_target_are_in_its_own_unit() -> None:
    task = Task(name="price", loss=MSE(), metrics=(MAE(), RMSE(), RelativeError(), R2()), mean=100.0, deviation=20.0)
    output, target = torch.tensor([[0.5], [1.0], [2.0]]), torch.tensor([0.0, 1.0, float("nan")])
    found = []
    for metric in task.metrics:
        meter = task.meter(metric)
        meter.update(output, target)
        found.append(float(meter.compute()))
    # 10 above 100, and exactly 120; the coefficient of determination has no unit.
    assert found == pytest.approx([5.0, 50**0.5, 0.05, 1 - 0.25 / 0.5])


@pytest.mark.parametrize("changes", [{"deviation": 0.0}, {"deviation": float("inf")}, {"mean": float("-inf")}])
def test_units_are_finite(changes: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=r"deviation|mean"):
        Task(name="price", loss=MSE(), **changes)  # type: ignore[arg-type]


def test_what_is_left_out_stays() -> None:
    task = Task(name="a", loss=MSE(), metrics=(MAE(),), output="o", target="t", size=2)
    assert TaskOptions().applied(task) == task
    changed = TaskOptions(loss=CrossEntropy(), metrics=(), size=3).applied(task)
    assert changed == Task(name="a", loss=CrossEntropy(), output="o", target="t", size=3)
    assert TaskOptions(output="p", target="u").applied(task).output_key == "p"


def test_a_new_task_needs_a_loss() -> None:
    assert TaskOptions(loss=MSE()).task("a", 4) == Task(name="a", loss=MSE(), size=4)
    assert TaskOptions(loss=MSE(), size=2).task("a", 4).size == 2
    with pytest.raises(OptionError, match="task 'a' needs a loss"):
        TaskOptions(size=3).task("a")


def test_from_plain_data_and_back() -> None:
    options = build(
        TaskOptions, {"loss": {"name": "cross_entropy", "ignore_index": -1}, "metrics": ["accuracy", "iou"]}
    )
    assert options.loss == CrossEntropy(ignore_index=-1)
    assert build(TaskOptions, unstructure(options)) == options
    with pytest.raises(SpecError, match="size"):
        build(TaskOptions, {"size": 0})
