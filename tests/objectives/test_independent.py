"""Weightings made for noisy gradients: by hand, and step by step against TorchJD's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from moframework.config import build
from moframework.objectives import Objective
from moframework.objectives.cr_mogm import CRMOGM
from moframework.objectives.excess_mtl import ExcessMTL
from moframework.objectives.modo import MoDo, modo_step
from moframework.objectives.nash_mtl import NashMTL
from moframework.objectives.sdmgrad import SDMGrad
from tests.engine.conftest import CPU, Conflict, method, model_for
from tests.extras import needs_torchjd

LOSSES, EVEN = torch.ones(1, 3), torch.full((1, 3), 1 / 3)
TILTED = torch.tensor([[0.6, 0.3, 0.1]])


def jacobians(count: int, seed: int = 0, scale: float = 0.3) -> Tensor:
    made = torch.randn(count, 3, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return scale * made * torch.tensor([[1.0], [2.0], [0.5]], dtype=torch.float64)


def test_modo_by_hand() -> None:
    # w = ½ − .1 · (C w + ρ w) = ½ − .1 · ((½, 3/2) + .1) = (.44, .34), and onto the simplex (.55, .45).
    objective = MoDo(gamma=0.1, rho=0.2)
    state = objective.build(2, 1)
    products, even = torch.diag(torch.tensor([1.0, 3.0]))[None], torch.tensor([[0.5, 0.5]])
    found = objective.weights(torch.ones(1, 2), even, products, state)
    torch.testing.assert_close(found, torch.tensor([[0.55, 0.45]]))
    tilted = objective.weights(torch.ones(1, 2), torch.tensor([[0.75, 0.25]]), torch.zeros(1, 2, 2), state)
    # ρ alone moves w to .55 (1 − .02), .45 (1 − .02), and back onto the simplex.
    torch.testing.assert_close(tilted, torch.tensor([[0.549 * 1.5, 0.451 * 0.5]]))


def test_modo_moves_no_weight_of_a_task_that_is_not_there() -> None:
    weights, known = np.array([0.2, 0.5, 0.3]), np.array([True, False, True])
    found = modo_step(weights, np.diag([1.0, 9.0, 2.0]), known, gamma=0.1, rho=0.0)
    assert found[1] == 0.5
    assert found.sum() == pytest.approx(1)
    assert found[0] > 0.2


@needs_torchjd
@pytest.mark.parametrize("name", ["modo", "sdmgrad"])
def test_products_of_independent_samples_agree_with_torchjd(name: str) -> None:
    from torchjd.aggregation import MoDoWeighting, SDMGradWeighting

    objective: Any = MoDo() if name == "modo" else SDMGrad()
    peer: Any = MoDoWeighting() if name == "modo" else SDMGradWeighting()
    state = objective.build(3, 1).double()
    for one, other in zip(jacobians(20, 0), jacobians(20, 1), strict=True):
        products = one @ other.T
        found = objective.weights(LOSSES.double(), EVEN.double(), products[None], state)
        torch.testing.assert_close(found[0], peer(products), rtol=1e-6, atol=1e-6)


@needs_torchjd
def test_the_direction_of_sdmgrad_is_the_preference() -> None:
    from torchjd.aggregation import SDMGradWeighting

    objective, peer = SDMGrad(kappa=0.6, steps=5), SDMGradWeighting(lambda_=0.6, n_iter=5, pref_vector=TILTED[0])
    state = objective.build(3, 1).double()
    for one, other in zip(jacobians(5, 2), jacobians(5, 3), strict=True):
        products = one @ other.T
        found = objective.weights(LOSSES.double(), TILTED.double(), products[None], state)
        torch.testing.assert_close(found[0], peer(products), rtol=1e-6, atol=1e-6)
    straight = SDMGrad(kappa=1e6)
    found = straight.weights(LOSSES, TILTED, torch.eye(3)[None], straight.build(3, 1))
    torch.testing.assert_close(found, TILTED, atol=1e-5, rtol=0)


@needs_torchjd
def test_cr_mogm_agrees_with_torchjd() -> None:
    from torchjd.aggregation import CRMOGMWeighting, MGDAWeighting

    objective, peer = CRMOGM(alpha=0.8), CRMOGMWeighting(MGDAWeighting(), alpha=0.8)
    state = objective.build(3, 1).double()
    for jacobian in jacobians(10):
        gramian = jacobian @ jacobian.T
        found = objective.weights(LOSSES.double(), EVEN.double(), gramian[None], state)
        torch.testing.assert_close(found[0], peer(gramian), rtol=1e-6, atol=1e-6)


def test_cr_mogm_by_hand_and_with_preferences_that_change() -> None:
    objective = CRMOGM(inner=NashMTL(max_norm=None), alpha=0.75)
    state: Any = objective.build(2, 1)
    even, tilted, ones = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.75, 0.25]]), torch.ones(1, 2)
    first = objective.weights(ones, even, torch.diag(torch.tensor([4.0, 0.25]))[None], state)
    torch.testing.assert_close(first, torch.tensor([[0.5, 2.0]]))
    found = objective.weights(ones, tilted, torch.eye(2)[None], state)
    # ¾ (.5, 2) + ¼ (1, 1), and of the preference only what this step has.
    torch.testing.assert_close(found, torch.tensor([[0.625 * 1.5, 1.75 * 0.5]]))
    vertex = objective.weights(ones, torch.tensor([[1.0, 0.0]]), torch.eye(2)[None], state)
    assert float(vertex[0, 1]) == 0
    assert float(state.ratios[0, 1]) == pytest.approx(1.75), "stays where the preference is 0"
    assert CRMOGM(inner=SDMGrad()).needs_halves
    assert not CRMOGM(inner=NashMTL()).needs_halves


def test_excess_mtl_by_hand() -> None:
    objective = ExcessMTL(rate=0.5)
    state: Any = objective.build(2, 1)
    even, losses = torch.tensor([[0.5, 0.5]]), torch.ones(1, 2)
    first = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    torch.testing.assert_close(objective.aggregate(first, losses, even, state), torch.tensor([[0.5, 1.0]]))
    # g² / √Σg²: 1 and 2 at first; now 9 / √10 and 1 / √5, over those.
    excess = 9 / math.sqrt(10), 1 / math.sqrt(5) / 2
    ratio = math.exp(0.5 * (excess[0] - excess[1]))
    found = objective.aggregate(torch.tensor([[[3.0, 0.0], [0.0, 1.0]]]), losses, even, state)
    torch.testing.assert_close(found, torch.tensor([[3 * ratio, 1.0]]) / (1 + ratio), rtol=1e-5, atol=0)


@needs_torchjd
@pytest.mark.parametrize("warmup", [1, 4])
def test_excess_mtl_agrees_with_torchjd(warmup: int) -> None:
    from torchjd.aggregation import ExcessMTL as Peer

    objective, peer = ExcessMTL(rate=0.2, warmup=warmup), Peer(robust_step_size=0.2, n_warmup_steps=warmup)
    state = objective.build(3, 1).double()
    for jacobian in jacobians(12):
        found = objective.aggregate(jacobian[None], LOSSES.double(), EVEN.double(), state)
        torch.testing.assert_close(found[0], peer(jacobian), rtol=1e-6, atol=1e-6)


def test_excess_mtl_is_saved_before_and_after_its_first_step() -> None:
    objective = ExcessMTL(rate=0.2)
    state: Any = objective.build(3, 1).double()
    objective.build(3, 1).load_state_dict(state.state_dict())
    for jacobian in jacobians(3):
        objective.aggregate(jacobian[None], LOSSES.double(), TILTED.double(), state)
    copy = objective.build(3, 1).double()
    copy.load_state_dict(state.state_dict())
    last = jacobians(1, 9)
    arguments = last, LOSSES.double(), TILTED.double()
    assert torch.equal(objective.aggregate(*arguments, copy), objective.aggregate(*arguments, state))


@pytest.mark.parametrize("name", ["modo", "sdmgrad", "excess_mtl", pytest.param("cr_mogm", marks=needs_torchjd)])
def test_numbers_that_are_not_finite_are_told_and_leave_the_state(name: str) -> None:
    objective: Any = build(Objective, name)
    state = objective.build(3, 1)
    jacobian = jacobians(1).float()

    def result(jacobian: Tensor) -> Tensor:
        if name == "excess_mtl":
            return objective.aggregate(jacobian, LOSSES, EVEN, state)  # type: ignore[no-any-return]
        return objective.weights(LOSSES, EVEN, jacobian @ jacobian.mT, state)  # type: ignore[no-any-return]

    for _ in range(2):
        result(jacobian)
    before = {key: value.clone() for key, value in state.state_dict().items() if isinstance(value, Tensor)}
    broken = jacobian.clone()
    broken[0, 1, 0] = math.nan
    assert bool(result(broken).isnan().any())
    for key, value in before.items():
        assert torch.equal(value, state.state_dict()[key]), key


def test_the_step_takes_products_of_halves_and_descends_the_mean() -> None:
    """The weights of a step are those of products of the two halves' gradients, taken by hand."""
    from moframework.engine.step import Step

    class Seen(MoDo):
        def weights(self, losses: Tensor, preferences: Tensor, gramians: Tensor, state: Any = None) -> Tensor:
            seen.append((losses, gramians))
            return super().weights(losses, preferences, gramians, state)

    seen: list[tuple[Tensor, Tensor]] = []
    problem, parts = Conflict(), method(objective=Seen())
    model = model_for(problem, parts)
    step = Step(model, problem.tasks, parts, CPU)
    data = problem.data("train")
    preferences = torch.tensor([[0.3, 0.7]])
    x, targets = data.inputs[:10], {key: value[:10] for key, value in data.targets.items()}
    step.run(x, targets, preferences)
    leaves = {k: v.detach().requires_grad_() for k, v in model.weights(preferences[0]).items()}
    rows, values = [], []
    for part in (slice(0, 5), slice(5, 10)):
        losses = step.losses(leaves, x[part], {key: value[part] for key, value in targets.items()})
        values.append(losses.detach())
        wanted = list(leaves.values())
        grads = [torch.autograd.grad(loss, wanted, retain_graph=True) for loss in losses]
        rows.append(torch.stack([torch.cat([g.flatten() for g in each]) for each in grads]))
    torch.testing.assert_close(seen[0][1][0], rows[0] @ rows[1].T)
    torch.testing.assert_close(seen[0][0][0], (values[0] + values[1]) / 2)
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    weights = MoDo().weights(*(seen[0][0], preferences, seen[0][1]), MoDo().build(2, 1))[0]
    model.zero_grad()
    losses = step.losses(model.weights(preferences[0]), x, targets)
    torch.autograd.backward((weights * losses).sum())
    for found, parameter in zip(gradients, [p for p in model.parameters() if p.grad is not None], strict=True):
        torch.testing.assert_close(found, parameter.grad, rtol=1e-4, atol=1e-6)
