"""The step's gradients against plain autograd, for every combination of parts that changes how they are computed."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import Tensor

from moframework.config import config
from moframework.engine.step import Step
from moframework.objectives import Objective
from moframework.objectives.balancing import GradientBalancing, LossBalancing
from moframework.preferences.annealed import Annealed
from tests.engine.conftest import CPU, Conflict, method, model_for

PREFERENCES = torch.tensor([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])


@config
class Largest(Objective):
    """Couples the preferences: only the row with the largest weighted loss counts."""

    separable: ClassVar[bool] = False

    def __call__(self, losses: Tensor, preferences: Tensor) -> Tensor:
        return (losses * preferences).sum(dim=1).logsumexp(dim=0)


def gradients(model: torch.nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def prepared(parts, seed: int = 0):
    problem = Conflict(hidden=(8, 8))
    model = model_for(problem, parts, seed)
    with torch.no_grad():
        for b in model.space.b:  # adapters away from zero, so that preferences differ
            b.normal_(generator=torch.Generator().manual_seed(1))
    x, targets = problem.data("train").inputs, problem.data("train").targets
    return problem, model, x, targets


def losses_of(problem, model, x, targets, preference) -> Tensor:
    outputs = model(x, preference)
    return torch.stack([task.loss(outputs[task.output_key], targets[task.target_key]) for task in problem.tasks])


@pytest.mark.parametrize("objective", [None, Largest()])
def test_shared_batches_give_the_gradient_of_the_objective(objective: Objective | None) -> None:
    parts = method() if objective is None else method(objective=objective)
    problem, model, x, targets = prepared(parts)
    matrix = torch.stack([losses_of(problem, model, x, targets, row) for row in PREFERENCES])
    parts.objective(matrix, PREFERENCES).backward()
    expected = gradients(model)
    model.zero_grad()
    losses = Step(model, problem.tasks, parts, CPU).run(x, targets, PREFERENCES)
    torch.testing.assert_close(losses, matrix.detach())
    torch.testing.assert_close(gradients(model), expected)


def test_split_batches_give_each_preference_its_share_of_the_samples() -> None:
    parts = method(preferences=Annealed(per_batch=3, batch="split"))
    problem, model, x, targets = prepared(parts)
    x, targets = x[:7], {key: value[:7] for key, value in targets.items()}  # 7 = 3 + 2 + 2
    rows = []
    for piece, row in zip(((0, 3), (3, 5), (5, 7)), PREFERENCES, strict=True):
        part = slice(*piece)
        rows.append(losses_of(problem, model, x[part], {k: v[part] for k, v in targets.items()}, row))
    parts.objective(torch.stack(rows), PREFERENCES).backward()
    expected = gradients(model)
    model.zero_grad()
    losses = Step(model, problem.tasks, parts, CPU).run(x, targets, PREFERENCES)
    torch.testing.assert_close(losses, torch.stack(rows).detach())
    torch.testing.assert_close(gradients(model), expected)


@pytest.mark.parametrize("objective", [None, Largest()])
@pytest.mark.parametrize("scale", [None, 64.0])
def test_gradient_balancing_divides_by_the_norm_over_shared_parameters(
    objective: Objective | None, scale: float | None
) -> None:
    parts = method(balancing=(GradientBalancing(),))
    if objective is not None:
        parts = method(balancing=(GradientBalancing(),), objective=objective)
    problem, model, x, targets = prepared(parts)
    rows = []
    for row in PREFERENCES:
        theta = {name: value.detach().requires_grad_() for name, value in model.weights(row).items()}
        outputs = model.call(theta, x)
        losses = [task.loss(outputs["y"], targets[task.target_key]) for task in problem.tasks]
        norms = [
            torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(theta.values()), retain_graph=True)]).norm()
            for loss in losses
        ]
        rows.append(losses_of(problem, model, x, targets, row) / (torch.stack(norms) + 1e-3))
    parts.objective(torch.stack(rows), PREFERENCES).backward()
    expected = gradients(model)
    model.zero_grad()
    factor = None if scale is None else torch.tensor(scale)
    Step(model, problem.tasks, parts, CPU).run(x, targets, PREFERENCES, factor)
    torch.testing.assert_close([g / (scale or 1.0) for g in gradients(model)], expected, rtol=1e-4, atol=1e-6)


def test_only_parameters_that_all_tasks_reach_count_for_the_norm() -> None:
    class Heads(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = torch.nn.Linear(1, 1, bias=False)
            self.a = torch.nn.Linear(1, 1, bias=False)
            self.b = torch.nn.Linear(1, 1, bias=False)
            for parameter, value in zip(self.parameters(), (2.0, 3.0, 5.0), strict=True):
                torch.nn.init.constant_(parameter, value)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"sine": self.a(self.trunk(x)), "cosine": self.b(self.trunk(x))}

    from moframework.engine.step import _Gradients

    net = Heads()
    outputs = net(torch.ones(1, 1))
    weights = list(net.parameters())
    norms = _Gradients(weights, torch.ones(()))
    for key in ("sine", "cosine"):
        norms.add(torch.autograd.grad(outputs[key].sum(), weights, retain_graph=True, allow_unused=True))
    torch.testing.assert_close(norms.norms(), torch.tensor([3.0, 5.0]))  # d/dtrunk only, heads left out


def test_loss_and_gradient_balancing_compose_in_order() -> None:
    parts = method(balancing=(LossBalancing(window=1), GradientBalancing()))
    problem, model, x, targets = prepared(parts)
    step = Step(model, problem.tasks, parts, CPU)
    first = step.run(x, targets, PREFERENCES)
    torch.testing.assert_close(step.state[0]["losses"], first.mean(dim=0, keepdim=True))
    assert int(step.state[0]["seen"]) == 1


def test_nothing_is_read_back_from_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = method(balancing=(LossBalancing(), GradientBalancing()), preferences=Annealed(per_batch=3, batch="split"))
    problem, model, x, targets = prepared(parts)
    step = Step(model, problem.tasks, parts, CPU)

    def forbidden(*_: object) -> None:
        raise AssertionError("a tensor was read inside the step")

    for name in ("item", "tolist", "__bool__", "__float__", "__int__", "numpy", "cpu"):
        monkeypatch.setattr(Tensor, name, forbidden)
    step.run(x, targets, PREFERENCES)
