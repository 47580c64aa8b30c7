"""A batch in parts: losses, gradients and states of the whole batch, for the memory of one part."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from moframework import Task
from moframework.config import config
from moframework.config.options import OptionError
from moframework.engine.micro_batches import MicroBatches
from moframework.engine.settings import Training
from moframework.engine.step import Step
from moframework.losses import MSE, GroupGap
from moframework.objectives import Scalarization
from moframework.objectives.balancing import GradientBalancing, LossBalancing
from moframework.objectives.linear import Linear
from moframework.objectives.nash_mtl import NashMTL
from moframework.preferences.annealed import Annealed
from tests.engine.conftest import CPU, Conflict, Train, method, model_for

PREFERENCES = torch.tensor([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])


@config
class Coupled(Scalarization):
    """Not linear in the losses, and joins the preferences."""

    separable: ClassVar[bool] = False

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        return (losses * preferences).square().sum(dim=1).logsumexp(dim=0)


@config
class Gap(Conflict):
    """A regression, and a gap between two groups, which is no mean; a third of the labels are unknown."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        return (Task(name="sine", loss=MSE(), output="y"), Task(name="cosine", loss=GroupGap(), output="y"))

    def data(self, split: str):  # type: ignore[no-untyped-def]
        data = super().data(split)
        groups = (data.targets["cosine"][:, 0] > 0).float()
        groups[::3] = float("nan")
        sine = data.targets["sine"].clone()
        sine[:30] = float("nan")  # of a whole part
        return type(data)(data.inputs, {"sine": sine, "cosine": groups})


def gone_backward(parts: dict[str, Any], problem: Conflict, count: int) -> tuple[Tensor, list[Any], list[Any], int]:
    made = method(**parts)
    model = model_for(problem, made)
    with torch.no_grad():
        for b in model.space.b:  # type: ignore[union-attr]
            b.normal_(generator=torch.Generator().manual_seed(1))
    step, data, largest = Step(model.train(), problem.tasks, made, CPU), problem.data("train"), [0]
    if count:
        MicroBatches(step, count)
    layer = next(module for module in model.skeleton.modules() if isinstance(module, nn.Linear))
    layer.register_forward_pre_hook(lambda _, inputs: largest.append(len(inputs[0])))
    losses = step.execute(data.inputs, data.targets, PREFERENCES)
    return losses, [p.grad for p in model.parameters()], step.state, max(largest)


@pytest.mark.parametrize("problem", [Conflict(), Gap()], ids=["means", "a gap, and unknown labels"])
@pytest.mark.parametrize(
    "parts",
    [
        {"objective": Linear()},
        {"objective": Linear(), "preferences": Annealed(per_batch=3, batch="split")},
        {"objective": Coupled(), "balancing": (LossBalancing(window=3),)},
        {"objective": Linear(), "balancing": (GradientBalancing(),)},
        {"objective": NashMTL()},
    ],
    ids=["linear", "split", "joined, with a balancing", "gradients of tasks", "weighting"],
)
def test_a_step_is_that_of_the_whole_batch(parts: dict[str, Any], problem: Conflict) -> None:
    losses, gradients, state, largest = gone_backward(parts, problem, 5)
    expected_losses, expected, expected_state, whole = gone_backward(parts, problem, 0)
    assert largest <= -(-whole // 5)
    close = {"rtol": 1e-4, "atol": 1e-6}
    torch.testing.assert_close(losses, expected_losses, **close)
    torch.testing.assert_close(gradients, expected, **close)
    torch.testing.assert_close(state, expected_state, **close)


def test_a_training_is_that_without(train: Train) -> None:
    plain, _ = train(training=Training(epochs=2, batch_size=15, drop_last=False, acceleration="none"))
    parts, _ = train(training=Training(epochs=2, batch_size=15, drop_last=False, accumulate=7))
    for mine, theirs in zip(parts.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("key", ["recompute", "compile"])
def test_what_does_not_go_with_it_is_refused(key: str) -> None:
    with pytest.raises(OptionError, match=f"{key} does not go with accumulate"):
        Training(accumulate=2, **{key: True})  # type: ignore[arg-type]
