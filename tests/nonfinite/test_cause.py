"""What is said where losses or weights are not finite: the row, the task, the parameter."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from moframework import Task, TensorData
from moframework.backbones.base import Backbone
from moframework.config import build, config
from moframework.engine.loop import Loop
from moframework.engine.settings import Evaluation, Training
from moframework.errors import NonFiniteLossError
from moframework.losses import MSE
from moframework.nonfinite.cause import cause, raise_for_losses, weight_fault
from moframework.objectives.base import Scalarization
from moframework.optim import Optimizer
from moframework.solvers.pamal import ConvexHull
from tests.engine.conftest import Conflict, Train, job_for, method, model_for


def spoiled(key: str, row: int | slice, value: float = float("nan")) -> TensorData:
    """Conflict's training data with one number that is not finite."""
    data = Conflict().data("train")
    inputs, targets = data.inputs.clone(), {name: target.clone() for name, target in data.targets.items()}
    (inputs if key == "input" else targets[key])[row] = value
    return TensorData(inputs, targets)


def words(train: Train, **options: Any) -> str:
    with pytest.raises(NonFiniteLossError) as error:
        train(**{"training": Training(epochs=1, batch_size=16), "evaluation": Evaluation(every=0), **options})
    return str(error.value)


@pytest.mark.parametrize(
    ("key", "row", "expected"),
    [
        ("input", 0, "the input of row 0 of the training split is nan, in column 0 (counted from 0)."),
        ("input", 37, "the input of row 37 of the training split is nan, in column 0 (counted from 0)."),
        ("cosine", 63, "the target 'cosine' of row 63 of the training split is inf, in column 0 (counted from 0)."),
    ],
)
def test_the_row_is_named(train: Train, key: str, row: int, expected: str) -> None:
    found = words(train, data=spoiled(key, row, float("nan" if key == "input" else "inf")))
    assert f"In the batch of that step {expected}" in found
    assert "Mend the data" in found
    assert "lr" not in found
    place = re.search(r"step (\d+)", found)
    assert place is not None
    loop = Loop(job_for(*_model(), Path("nowhere"), Training(epochs=1, batch_size=16)))
    step = int(place[1])
    assert row in loop.order(0)[(step - 1) * 16 : step * 16]


def test_the_row_is_named_where_items_are_loaded(train: Train) -> None:
    class Items(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 64

        def __getitem__(self, index: int) -> Any:
            return data[index]

    data = spoiled("sine", 12, float("inf"))
    assert "the target 'sine' of row 12 of the training split is inf" in words(train, data=Items())


def test_the_line_of_the_file_is_named_where_the_data_knows_it(train: Train) -> None:
    data = spoiled("input", 37)
    data.origins = [f"t.csv, line {i + 2}" for i in range(len(data))]
    found = words(train, data=data)
    assert "the input of row 37 of the training split (t.csv, line 39) is nan, in column 0 (counted from 0)." in found


def test_a_data_set_that_cannot_say_where_changes_nothing_else(train: Train) -> None:
    class Broken(TensorData):
        def where(self, index: int) -> str:
            raise OSError("gone")

    data = spoiled("input", 37)
    assert "the input of row 37 of the training split is nan" in words(train, data=Broken(data.inputs, data.targets))


def test_a_target_of_another_task_is_not_blamed(tmp_path: Path) -> None:
    """Losses may pass over targets that are missing."""
    data = spoiled("sine", slice(None), float("inf"))
    loop = Loop(job_for(*_model(), tmp_path, Training(epochs=1, batch_size=16), data=data))
    losses, preferences = torch.ones(3, 2), torch.full((3, 2), 0.5)
    losses[1, 1] = torch.inf
    assert cause(loop, (2, losses, preferences)) == (
        "the loss of task 'cosine' is inf at preference (0.5, 0.5). What the loss was computed from, inputs and "
        "target, is finite; other losses of that step are finite: only 'cosine' went wrong."
    )
    assert "; 16 of its 16 rows are affected" in cause(loop, (2, losses.flip(1), preferences))


def test_a_target_of_nan_is_unknown_and_not_blamed(tmp_path: Path) -> None:
    loop = Loop(job_for(*_model(), tmp_path, Training(epochs=1, batch_size=16), data=spoiled("sine", slice(None))))
    losses, preferences = torch.ones(3, 2), torch.full((3, 2), 0.5)
    losses[1, 0] = torch.inf
    assert "What the loss was computed from, inputs and target, is finite" in cause(loop, (2, losses, preferences))


def test_weights_that_overflow_are_named_with_the_losses_before(train: Train) -> None:
    sgd = build(Optimizer, {"name": "sgd", "lr": 1e30})
    found = words(train, training=Training(epochs=1, batch_size=16, optimizer=sgd))
    assert "inputs and target, is finite; no loss of that step is finite: a weight was not finite first, or so" in found
    assert re.search(r"after step 4 not finite: \w+ '[\w.]+'", found)
    assert re.search(r"In step \d+ the losses were sine [\d.e+]+, cosine [\d.e+]+\.", found)
    assert "Try a smaller training.optimizer.lr" in found


def test_the_optimizers_step_is_told_from_the_gradient(train: Train) -> None:
    sgd = build(Optimizer, {"name": "sgd", "lr": 1e39})
    found = words(train, training=Training(steps=1, batch_size=16, optimizer=sgd))
    assert "a weight is not finite although the losses were: shared '" in found
    assert "Its gradient in that step is finite: the optimizer's step was too large." in found


class Separate(torch.nn.Module):
    """A head for each task."""

    def __init__(self, outputs: dict[str, int]) -> None:
        super().__init__()
        self.trunk = torch.nn.Linear(1, 4)
        self.heads = torch.nn.ModuleDict({name: torch.nn.Linear(4, size) for name, size in outputs.items()})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = self.trunk(x).tanh()
        return {name: head(hidden) for name, head in self.heads.items()}


@config
class Heads(Backbone):
    def build(self, input_shape: tuple[int, ...], outputs: Any) -> torch.nn.Module:
        return Separate(dict(outputs))


@config
class TwoHeads(Conflict):
    @property
    def tasks(self) -> tuple[Task, ...]:
        return tuple(Task(name=task.name, loss=MSE()) for task in Conflict().tasks)

    @property
    def network(self) -> Backbone:
        return Heads()


def _model(problem: Any = None, parts: Any = None) -> Any:
    problem, parts = problem or Conflict(), parts or method()
    return model_for(problem, parts), problem, parts


def test_the_task_is_named_where_only_its_gradient_reaches_the_weights(tmp_path: Path) -> None:
    loop = Loop(job_for(*_model(TwoHeads(), method(weights=ConvexHull())), tmp_path, Training(epochs=1, batch_size=16)))
    loop.train_step(*next(loop.batches()))
    spoil(loop, "heads.cosine.weight")
    found = str(weight_fault(loop))
    assert "'members.flat.0', in the network 'heads.cosine.weight'." in found
    assert "Its gradient of task 'cosine', the only one that reaches this weight, was not finite in that step." in found
    spoil(loop, "trunk.bias")
    found = str(weight_fault(loop))
    assert "'trunk.bias'" in found
    assert "Its gradient was not finite in that step." in found


def spoil(loop: Loop, name: str) -> None:
    """Make a weight of the network, and its gradient, not a number, by way of the parameters that it is made of."""
    parameters = [parameter for parameter in loop.parameters if parameter.numel()]
    theta = loop.model.weights(torch.tensor([0.5, 0.5]))
    for parameter, reached in zip(parameters, torch.autograd.grad(theta[name].sum(), parameters), strict=True):
        with torch.no_grad():
            parameter[reached != 0] = torch.nan
            parameter.grad = torch.where(reached != 0, torch.nan, 0.0)


def test_a_gradient_that_is_not_finite_is_found_in_the_weights(train: Train) -> None:
    @config
    class Root(Scalarization):
        """Finite, with a gradient that is not."""

        def __call__(self, losses: Tensor, preferences: Tensor, state: Any = None) -> Tensor:
            return losses.sum() + (losses - losses.detach()).sum().sqrt()

    found = words(train, parts=method(objective=Root()), training=Training(steps=1, batch_size=16))
    assert "Its gradient was not finite in that step." in found


def test_data_that_cannot_be_read_again_hides_nothing(tmp_path: Path) -> None:
    loop = Loop(job_for(*_model(), tmp_path, Training(epochs=1, batch_size=16)))
    losses = torch.full((1, 3, 2), torch.nan)
    entries = [(2, losses[0], torch.full((3, 2), 0.5))]
    del loop.job.data.targets["cosine"]  # type: ignore[attr-defined]
    loop.job.data.inputs = None  # type: ignore[attr-defined]
    loop.order = lambda epoch: torch.arange(64)  # type: ignore[method-assign]
    with pytest.raises(NonFiniteLossError, match=r"task 'sine' is nan .* Its batch could not be read again;"):
        raise_for_losses(loop, entries, losses)


def test_finite_losses_leave_the_gradient(tmp_path: Path) -> None:
    loop = Loop(job_for(*_model(), tmp_path, Training(epochs=1, batch_size=16)))
    assert "a gradient is not" in cause(loop, (1, torch.ones(3, 2), torch.full((3, 2), 0.5)))
