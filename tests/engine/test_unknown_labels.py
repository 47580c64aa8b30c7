"""Steps and trainings on batches in which not every sample has every label."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from moframework import TensorData
from moframework.engine.acceleration import accelerate
from moframework.engine.settings import Training
from moframework.engine.step import Step
from moframework.objectives.balancing import GradientBalancing, LossBalancing
from moframework.objectives.nash_mtl import NashMTL
from moframework.preferences.annealed import Annealed
from tests.engine.conftest import CPU, Conflict, method, model_for

PREFERENCES = torch.tensor([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])
ROWS = torch.arange(12)


def batch() -> tuple[Tensor, dict[str, Tensor]]:
    """Twelve samples; the last four, which the third preference of a divided batch sees, have no label of `cosine`."""
    data = Conflict().data("train")
    sine, cosine = (data.targets[key][:12] for key in ("sine", "cosine"))
    known = (ROWS % 3 == 0) & (ROWS < 8)
    nan = torch.tensor(float("nan"))
    return data.inputs[:12], {
        "sine": torch.where((ROWS % 2 == 0)[:, None], sine, nan),
        "cosine": torch.where(known[:, None], cosine, nan),
    }


@pytest.mark.parametrize("accelerated", [True, False])
def test_each_preference_has_the_mean_of_its_own_labels(accelerated: bool) -> None:
    parts = method(preferences=Annealed(per_batch=3, batch="split"), balancing=(LossBalancing(window=3),))
    problem = Conflict()
    model = model_for(problem, parts)
    with torch.no_grad():
        for b in model.space.b:
            b.normal_(generator=torch.Generator().manual_seed(0))
    step = Step(model, problem.tasks, parts, CPU)
    if accelerated:
        accelerate(step, Training(epochs=1))
        assert step.forwards, "one pass over all pieces"
    x, targets = batch()
    losses = step.run(x, targets, PREFERENCES)
    expected = torch.zeros(3, 2)
    for j, (rows, preference) in enumerate(zip(ROWS.tensor_split(3), PREFERENCES, strict=True)):
        y = model(x[rows], preference)["y"].detach()
        for t, key in enumerate(("sine", "cosine")):
            errors = (y - targets[key][rows]).square()
            expected[j, t] = errors[~errors.isnan()].mean() if (~errors.isnan()).any() else 0.0
    torch.testing.assert_close(losses, expected)
    assert losses[2, 1] == 0
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    torch.testing.assert_close(step.state[0]["losses"][-1, 1], expected[:2, 1].mean())


def test_a_task_without_labels_brings_no_gradient() -> None:
    """The step is that of the other task, times its weights."""
    problem, parts = Conflict(), method(preferences=Annealed(per_batch=3))
    x, targets = batch()
    known = ~targets["sine"].isnan()
    alone, model = model_for(problem, parts), model_for(problem, parts)
    terms = [
        preference[0] * (alone(x, preference)["y"] - targets["sine"])[known].square().mean()
        for preference in PREFERENCES
    ]
    torch.stack(terms).mean().backward()
    targets["cosine"] = torch.full_like(targets["cosine"], torch.nan)
    Step(model, problem.tasks, parts, CPU).run(x, targets, PREFERENCES)
    for found, expected in zip(model.space.parameters(), alone.space.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad)


@pytest.mark.parametrize(
    "changes",
    [{}, {"balancing": (LossBalancing(), GradientBalancing())}, {"objective": NashMTL()}],
    ids=["linear", "balanced", "weighting"],
)
def test_rows_without_labels_change_nothing(changes: dict[str, Any]) -> None:
    """Two steps on rows of which half have no label at all are those on the other half."""
    data = Conflict(size=32).data("train")
    twice = torch.arange(32).repeat_interleave(2)
    gone = (torch.arange(64) % 2 == 1)[:, None]
    padded = TensorData(
        data.inputs[twice], {key: torch.where(gone, torch.nan, value[twice]) for key, value in data.targets.items()}
    )
    problem, parts = Conflict(), method(**changes)
    found = []
    for given in (data, padded):
        model = model_for(problem, parts)
        step = Step(model, problem.tasks, parts, CPU)
        losses = [step.run(given.inputs, given.targets, PREFERENCES) for _ in range(2)][-1]
        found.append([losses, *(p.grad for p in model.parameters() if p.grad is not None)])
    for first, second in zip(*found, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-6)
