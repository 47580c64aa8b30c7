"""The step's gradients against plain autograd, for every combination of parts that changes how they are computed."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from moframework.config import config
from moframework.engine.step import Step
from moframework.objectives import Aggregation, Objective, Scalarization, Weighting
from moframework.objectives.balancing import GradientBalancing, LossBalancing
from moframework.objectives.cosine_penalty import CosinePenalty
from moframework.objectives.dwa import DWA
from moframework.objectives.famo import FAMO
from moframework.objectives.linear import Linear
from moframework.objectives.multi_forward import MultiForward, order_violation
from moframework.objectives.pbi import PBI
from moframework.objectives.rlw import RLW
from moframework.objectives.smooth_tchebycheff import SmoothTchebycheff
from moframework.objectives.tchebycheff import Tchebycheff
from moframework.objectives.uncertainty import Uncertainty
from moframework.preferences.annealed import Annealed
from tests.engine.conftest import CPU, Conflict, method, model_for

PREFERENCES = torch.tensor([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])


@config
class Largest(Scalarization):
    """Couples the preferences: only the row with the largest weighted loss counts."""

    separable: ClassVar[bool] = False

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
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


def test_loss_and_gradient_balancing_compose_in_order() -> None:
    parts = method(balancing=(LossBalancing(window=1), GradientBalancing()))
    problem, model, x, targets = prepared(parts)
    step = Step(model, problem.tasks, parts, CPU)
    first = step.run(x, targets, PREFERENCES)
    torch.testing.assert_close(step.state[0]["losses"], first.mean(dim=0, keepdim=True))
    assert step.state[0]["seen"].tolist() == [1, 1]


@config
class Given(Weighting):
    """Weights that are a known function of all that a weighting sees."""

    def weights(self, losses: Tensor, preferences: Tensor, gramians: Tensor, state: nn.Module | None = None) -> Tensor:
        return preferences * losses + gramians.sum(dim=2)


@config
class GivenTogether(Given):
    separable: ClassVar[bool] = False


@config
class Signs(Aggregation):
    """The sum of the signs of all gradients: no weighted sum of them."""

    def aggregate(
        self, jacobians: Tensor, losses: Tensor, preferences: Tensor, state: nn.Module | None = None
    ) -> Tensor:
        return (jacobians.sign() * preferences.unsqueeze(2)).sum(dim=1) * losses.sum(dim=1, keepdim=True)


@config
class SignsTogether(Signs):
    separable: ClassVar[bool] = False


def task_gradients(problem, model, x, targets, row) -> tuple[Tensor, list[Tensor], Tensor]:
    """Losses (m,), weights θ(λ) with their graph, and the Jacobian (m, p) over them."""
    theta = model.weights(row)
    leaves = {name: value.detach().requires_grad_() for name, value in theta.items()}
    outputs = model.call(leaves, x)
    losses = torch.stack([task.loss(outputs[task.output_key], targets[task.target_key]) for task in problem.tasks])
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(leaves.values()), retain_graph=True)])
        for loss in losses
    ]
    return losses.detach(), list(theta.values()), torch.stack(rows)


@pytest.mark.parametrize("objective", [Given(), GivenTogether()])
@pytest.mark.parametrize("scale", [None, 64.0])
@pytest.mark.parametrize("balanced", [False, True])
def test_a_weighting_descends_the_weighted_sum_of_losses(
    objective: Weighting, scale: float | None, balanced: bool
) -> None:
    parts = method(objective=objective, balancing=(GradientBalancing(),) if balanced else ())
    problem, model, x, targets = prepared(parts)
    total = 0.0
    for row in PREFERENCES:
        losses, _, jacobian = task_gradients(problem, model, x, targets, row)
        scales = 1 / (jacobian.norm(dim=1) + 1e-3) if balanced else torch.ones(2)
        jacobian = jacobian * scales.unsqueeze(1)
        weights = objective.weights((losses * scales)[None], row[None], (jacobian @ jacobian.T)[None])[0] * scales
        total = total + (weights * losses_of(problem, model, x, targets, row)).sum() / 3
    total.backward()
    expected = gradients(model)
    model.zero_grad()
    Step(model, problem.tasks, parts, CPU).run(x, targets, PREFERENCES, None if scale is None else torch.tensor(scale))
    torch.testing.assert_close([g / (scale or 1.0) for g in gradients(model)], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("objective", [Signs(), SignsTogether()])
@pytest.mark.parametrize("scale", [None, 64.0])
def test_an_aggregation_sends_its_direction_through_the_space(objective: Aggregation, scale: float | None) -> None:
    parts = method(objective=objective)
    problem, model, x, targets = prepared(parts)
    for row in PREFERENCES:
        losses, theta, jacobian = task_gradients(problem, model, x, targets, row)
        direction = objective.aggregate(jacobian[None], losses[None], row[None])[0] / 3
        pieces = direction.split([value.numel() for value in theta])
        torch.autograd.backward(theta, [piece.view(v.shape) for piece, v in zip(pieces, theta, strict=True)])
    expected = gradients(model)
    model.zero_grad()
    Step(model, problem.tasks, parts, CPU).run(x, targets, PREFERENCES, None if scale is None else torch.tensor(scale))
    torch.testing.assert_close([g / (scale or 1.0) for g in gradients(model)], expected, rtol=1e-4, atol=1e-6)


def test_the_penalty_of_an_objective_sees_losses_that_no_balancing_scaled() -> None:
    parts = method(objective=MultiForward(coefficient=3.0), balancing=(GradientBalancing(),))
    problem, model, x, targets = prepared(parts)
    matrix = torch.stack([losses_of(problem, model, x, targets, row) for row in PREFERENCES])
    norms = torch.stack([task_gradients(problem, model, x, targets, row)[2].norm(dim=1) for row in PREFERENCES])
    (Linear()(matrix / (norms + 1e-3), PREFERENCES) + order_violation(matrix, PREFERENCES)).backward()
    expected = gradients(model)
    model.zero_grad()
    Step(model, problem.tasks, parts, CPU).run(x, targets, PREFERENCES)
    torch.testing.assert_close(gradients(model), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_parameters_of_an_objective_get_their_gradient(balanced: bool, wrapped: bool) -> None:
    objective = MultiForward(inner=Uncertainty(), coefficient=0.0) if wrapped else Uncertainty()
    parts = method(objective=objective, balancing=(GradientBalancing(),) if balanced else ())
    problem, model, x, targets = prepared(parts)
    step = Step(model, problem.tasks, parts, CPU)
    assert len(step.objective_states) == (1 if wrapped else 3)
    scales = torch.ones(3, 2)
    if balanced:
        norms = torch.stack([task_gradients(problem, model, x, targets, row)[2].norm(dim=1) for row in PREFERENCES])
        scales = 1 / (norms + 1e-3)
    losses = step.run(x, targets, PREFERENCES, torch.tensor(2.0)) * scales
    found = torch.cat([p.grad for p in step.objective_states.parameters()])
    torch.testing.assert_close(found, 2.0 * PREFERENCES * 2 * (0.5 - 0.5 * losses) / 3, rtol=1e-4, atol=1e-6)


def test_an_objective_is_shown_what_the_step_did() -> None:
    parts = method(objective=FAMO(), preferences=Annealed(per_batch=3, batch="split"))
    problem, model, x, targets = prepared(parts)
    step = Step(model, problem.tasks, parts, CPU)
    before = step.run(x, targets, PREFERENCES)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1)
    step.review(x, targets, PREFERENCES, before)
    after = Step(model, problem.tasks, parts, CPU).run(x, targets, PREFERENCES)
    peer = FAMO().build(2, 3)
    FAMO().review(before, after, peer)
    found = torch.cat([state.logits for state in step.objective_states])
    torch.testing.assert_close(found, peer.logits)
    assert bool(found.any())


ON_DEVICE = [
    Linear(),
    Tchebycheff(ideal=(0.1, 0.0)),
    SmoothTchebycheff(ideal=(0.1, 0.0)),
    PBI(),
    CosinePenalty(),
    MultiForward(),
    Uncertainty(),
    DWA(),
    RLW(),
    FAMO(bound=(0.0, 0.0)),
]


@pytest.mark.parametrize("objective", ON_DEVICE, ids=lambda o: type(o).__name__)
def test_nothing_is_read_back_from_the_device(monkeypatch: pytest.MonkeyPatch, objective: Objective) -> None:
    parts = method(
        objective=objective,
        balancing=(LossBalancing(), GradientBalancing()),
        preferences=Annealed(per_batch=3, batch="split"),
    )
    problem, model, x, targets = prepared(parts)
    step = Step(model, problem.tasks, parts, CPU)

    def forbidden(*_: object) -> None:
        raise AssertionError("a tensor was read inside the step")

    for name in ("item", "tolist", "__bool__", "__float__", "__int__", "numpy", "cpu"):
        monkeypatch.setattr(Tensor, name, forbidden)
    losses = step.run(x, targets, PREFERENCES)
    step.review(x, targets, PREFERENCES, losses)
    step.epoch_ended()
