"""Networks that return probabilities where logits are wanted are told before training; others never are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from moframework.errors import SpecError
from moframework.losses import MSE, BinaryCrossEntropy, CrossEntropy, GroupGap, Loss
from moframework.metrics import Accuracy, Metric
from moframework.problem import Problem
from moframework.problem.from_parts import problem_from_parts
from moframework.problem.output_kind import probability_faults
from moframework.problem.task import Task

LAST = {
    "softmax": lambda: nn.Softmax(dim=1),
    "sigmoid": nn.Sigmoid,
    "hardsigmoid": nn.Hardsigmoid,
    "none": nn.Identity,
    "relu": nn.ReLU,
    "log_softmax": lambda: nn.LogSoftmax(dim=1),
    "tanh": nn.Tanh,
}


def problem(last: str, task: Task, width: int | None = None) -> Problem:
    size = task.size if width is None else width
    torch.manual_seed(0)
    x = torch.rand(12, 5)
    data = (x, {task.target_key: torch.arange(12) % 2})

    def network() -> nn.Module:
        return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, size), LAST[last]())

    return problem_from_parts([task], network, dict.fromkeys(("train", "val", "test"), data))


def task(loss: Loss, size: int = 1, metrics: tuple[Metric, ...] = ()) -> Task:
    return Task(name="y", loss=loss, size=size, metrics=metrics)


@pytest.mark.parametrize(
    ("last", "made", "words"),
    [
        ("softmax", task(CrossEntropy(), 3), r"\(they sum to 1 over the classes\), but the loss CrossEntropy takes"),
        ("softmax", task(GroupGap(), 2), "the loss GroupGap takes logits: leave out the softmax or sigmoid"),
        ("sigmoid", task(GroupGap()), r"\(they stay between 0 and 1 whatever its weights are\), but the loss GroupGap"),
        ("sigmoid", task(BinaryCrossEntropy()), "the loss BinaryCrossEntropy takes logits"),
        ("sigmoid", task(CrossEntropy(), 3), "the loss CrossEntropy takes logits"),
        ("hardsigmoid", task(BinaryCrossEntropy()), "the loss BinaryCrossEntropy takes logits"),
        ("sigmoid", task(MSE(), metrics=(Accuracy(),)), "the metric accuracy takes logits"),
    ],
)
def test_probabilities_are_told(last: str, made: Task, words: str) -> None:
    with pytest.raises(SpecError, match=f"task 'y': the network returns probabilities .*{words}"):
        problem(last, made).check()


@pytest.mark.parametrize(
    ("last", "made"),
    [
        ("none", task(CrossEntropy(), 3)),
        ("none", task(BinaryCrossEntropy())),
        ("none", task(GroupGap())),
        ("relu", task(BinaryCrossEntropy())),
        ("tanh", task(BinaryCrossEntropy())),
        ("log_softmax", task(CrossEntropy(), 3)),
        ("sigmoid", task(MSE())),  # of a fraction
    ],
)
def test_logits_and_numbers_pass(last: str, made: Task) -> None:
    problem(last, made).check()


def test_logits_that_happen_to_lie_between_0_and_1_are_no_probabilities() -> None:
    """Whatever the first weights are: here those of the last layer are nearly 0, and its bias is .3."""
    network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 1))
    nn.init.normal_(network[2].weight, std=1e-4)
    nn.init.constant_(network[2].bias, 0.3)
    before = [parameter.clone() for parameter in network.parameters()]
    x = torch.randn(2, 4)
    for seed in range(20):
        torch.manual_seed(seed)
        with torch.no_grad():
            assert 0 < network(x).min() < network(x).max() < 1
            found: Any = probability_faults([task(GroupGap())], network, {"y": network(x)}, lambda: {"y": network(x)})
        assert found == {}
    assert all(torch.equal(now, then) for now, then in zip(network.parameters(), before, strict=True))


def test_a_network_without_weights_and_one_that_fails_with_others_are_not_judged() -> None:
    outputs = {"y": torch.tensor([[0.2], [0.7]])}
    assert probability_faults([task(GroupGap())], nn.Identity(), outputs, lambda: outputs) == {}

    def fails() -> Any:
        raise RuntimeError("not with these")

    assert probability_faults([task(GroupGap())], nn.Linear(1, 1), outputs, fails) == {}
    sums = {"y": torch.tensor([[0.2, 0.8], [0.7, 0.3]])}
    assert "sum to 1" in probability_faults([task(CrossEntropy(), 2)], nn.Identity(), sums, lambda: sums)["y"]
