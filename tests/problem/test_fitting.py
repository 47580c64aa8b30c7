"""Losses that take weights of classes from the training data."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.utils.data

from moframework import TensorData, problem_from_parts
from moframework.backbones.mlp import MLP
from moframework.errors import SpecError
from moframework.problem import Problem, fitted


class Loaded(torch.utils.data.Dataset[Any]):
    """Samples that are loaded with their targets."""

    def __init__(self, data: TensorData) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        return self.data.inputs[index], {key: value[index] for key, value in self.data.targets.items()}


def problem(lazy: bool, positive: int = 3) -> Problem:
    target = (torch.arange(12) < positive).long()
    data = TensorData(torch.randn(12, 2), {"one": target, "other": target.clone()})
    return problem_from_parts(
        tasks={
            "one": {"loss": {"name": "cross_entropy", "weight": "balanced"}, "metrics": ["accuracy"], "size": 2},
            "other": {"loss": {"name": "binary_cross_entropy", "positive_weight": "balanced"}},
        },
        network=MLP(hidden=(4,)),
        data={"train": Loaded(data) if lazy else data, "val": data, "test": data},
        reference=(3.0, 3.0),
    )


@pytest.mark.parametrize("lazy", [False, True])
def test_weights_are_counted_in_the_training_split(lazy: bool) -> None:
    given = problem(lazy)
    found = fitted(given)
    one, other = found.tasks
    assert one.loss.weight == pytest.approx((12 / 18, 12 / 6))  # type: ignore[attr-defined]
    assert other.loss.positive_weight == 3  # type: ignore[attr-defined]
    assert [(task.name, task.size, task.metrics) for task in found.tasks] == [
        (task.name, task.size, task.metrics) for task in given.tasks
    ]
    assert found.reference == (3.0, 3.0)
    assert fitted(found) is found
    found.check()


def test_data_of_one_class_is_told() -> None:
    with pytest.raises(SpecError, match=r"task 'other': binary_cross_entropy: .* 0 positive ones of 12"):
        fitted(problem(False, positive=0))
