"""A task that a batch has no label of, whose loss and gradient are 0: left out, and no state moves for it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from moframework.config import build
from moframework.objectives import Objective, Scalarization, Weighting
from moframework.objectives.balancing import LossBalancing
from moframework.objectives.dwa import DWA
from moframework.objectives.famo import FAMO
from moframework.objectives.hypervolume_gradient import HypervolumeGradient
from moframework.objectives.moo_svgd import MOOSVGD
from moframework.objectives.multi_forward import order_violation
from moframework.objectives.pareto_mtl import ParetoMTL
from moframework.objectives.presence import mean_of_present, present, solved_for_present
from moframework.objectives.uncertainty import Uncertainty
from tests.extras import needs_torchjd

TORCHJD = (
    "mgda",
    "pcgrad",
    "gradvac",
    "imtl_g",
    "aligned_mtl",
    "fairgrad",
    "upgrad",
    "dual_proj",
    "config",
    "graddrop",
)
PLAIN = (
    "linear",
    "rlw",
    "tchebycheff",
    "smooth_tchebycheff",
    "pbi",
    "cosine_penalty",
    "uncertainty",
    "dwa",
    "famo",
    "scale_invariant",
    "imtl_l",
)
LAMBDA = torch.tensor([[0.2, 0.3, 0.5]])


def gradients(absent: int | None = 1) -> Tensor:
    """Three gradients in conflict (3, 8), one of them 0."""
    made = torch.randn(3, 8, generator=torch.Generator().manual_seed(3)) * torch.tensor([[1.0], [2.0], [0.5]])
    if absent is not None:
        made[absent] = 0
    return made


def losses_of(absent: int | None = 1) -> Tensor:
    made = torch.tensor([[0.7, 0.4, 1.3]])
    if absent is not None:
        made[0, absent] = 0
    return made


def descent(objective: Objective, losses: Tensor, jacobian: Tensor, preferences: Tensor, state: Any) -> Tensor:
    """What is descended, in the space of the gradients (p,)."""
    torch.manual_seed(0)
    extra = () if state is None else (state,)
    if isinstance(objective, Scalarization):
        leaves = losses.clone().requires_grad_()
        objective(leaves, preferences, *extra).backward()
        assert leaves.grad is not None
        return leaves.grad[0] @ jacobian
    if isinstance(objective, Weighting):
        return objective.weights(losses, preferences, (jacobian @ jacobian.T)[None], *extra)[0] @ jacobian
    return objective.aggregate(jacobian[None], losses, preferences, *extra)[0]  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize(
    "name",
    [
        *PLAIN,
        "epo",
        "pmgda",
        "ferero",
        "gradnorm",
        "db_mtl",
        "nash_mtl",
        "modo",
        "sdmgrad",
        "excess_mtl",
        pytest.param("cr_mogm", marks=needs_torchjd),
        *(pytest.param(name, marks=needs_torchjd) for name in TORCHJD),
    ],
)
def test_a_task_without_labels_is_left_out(name: str) -> None:
    """The direction is that of the problem that does not have the task; its preference is no longer there either, so
    that lengths may differ by the number of tasks, which some methods divide by."""
    objective: Objective = build(Objective, name)  # type: ignore[type-abstract]
    jacobian, losses, kept = gradients(), losses_of(), [0, 2]
    found = descent(objective, losses, jacobian, LAMBDA, objective.build(3, 1))
    assert torch.isfinite(found).all()
    assert found.norm() > 1e-3, "the others still descend"
    if name == "rlw":
        return  # at random
    expected = descent(objective, losses[:, kept], jacobian[kept], LAMBDA[:, kept], objective.build(2, 1))
    torch.testing.assert_close(found / found.norm(), expected / expected.norm(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        *PLAIN,
        "epo",
        "pmgda",
        "ferero",
        "gradnorm",
        "db_mtl",
        "nash_mtl",
        "modo",
        "sdmgrad",
        "excess_mtl",
        pytest.param("cr_mogm", marks=needs_torchjd),
        *(pytest.param(n, marks=needs_torchjd) for n in TORCHJD),
    ],
)
def test_a_batch_without_any_label_asks_for_nothing(name: str) -> None:
    objective: Objective = build(Objective, name)  # type: ignore[type-abstract]
    found = descent(objective, torch.zeros(1, 3), torch.zeros(3, 8), LAMBDA, objective.build(3, 1))
    assert not found.any(), "and is not nan"


@needs_torchjd
def test_a_task_at_rest_is_present() -> None:
    """A gradient of 0 at a loss that is not 0: no direction lowers all losses, and descent stops."""
    mgda: Objective = build(Objective, "mgda")  # type: ignore[type-abstract]
    even = torch.full((1, 3), 1 / 3)
    resting = descent(mgda, losses_of(None), gradients(), even, mgda.build(3, 1))
    moving = descent(mgda, losses_of(), gradients(), even, mgda.build(3, 1))
    assert resting.norm() < 0.05 * moving.norm()


@needs_torchjd
def test_averages_of_angles_stay_for_an_absent_task() -> None:
    gradvac: Any = build(Objective, "gradvac")  # type: ignore[type-abstract]
    state = gradvac.build(3, 1)
    for _ in range(3):
        descent(gradvac, losses_of(None), gradients(None), LAMBDA, state)
    before = {key: value.clone() for key, value in state.get_extra_state().items()}
    assert any(value[1].any() for value in before.values())
    descent(gradvac, losses_of(), gradients(), LAMBDA, state)
    for key, value in state.get_extra_state().items():
        assert torch.equal(value[1], before[key][1])
        assert torch.equal(value[:, 1], before[key][:, 1])
        assert not torch.equal(value[0, 2], before[key][0, 2]), "that of the others moves"


def test_running_means_of_losses_are_not_moved() -> None:
    balancing, state = LossBalancing(window=2), LossBalancing(window=2).initial_state(2)
    for losses in ([[2.0, 8.0]], [[4.0, 0.0]], [[6.0, 0.0]]):
        state = balancing.updated(state, torch.tensor(losses))
    assert state["seen"].tolist() == [3, 1]
    torch.testing.assert_close(balancing.scales(torch.ones(2), None, state), torch.tensor([1 / 5, 1 / 8]))
    parts = balancing.updated(balancing.initial_state(2), torch.tensor([[1.0, 0.0], [3.0, 6.0], [0.0, 0.0]]))
    torch.testing.assert_close(balancing.scales(torch.ones(2), None, parts), torch.tensor([1 / 2, 1 / 6]))


def test_means_of_epochs_are_not_moved() -> None:
    dwa = DWA()
    state: Any = dwa.build(2, 1)
    for epoch in ([[4.0, 9.0], [2.0, 0.0]], [[1.0, 0.0]], [[2.0, 3.0]]):
        for losses in epoch:
            dwa(torch.tensor([losses]), torch.full((1, 2), 0.5), state)
        dwa.epoch_ended(state)
    assert state.last.tolist() == [[2, 3]]
    assert state.older.tolist() == [[1, 9]], "the second task had no second epoch"
    assert state.epochs.tolist() == [[3, 2]]


def test_learned_variances_are_not_moved() -> None:
    uncertainty = Uncertainty()
    state: Any = uncertainty.build(2, 1)
    uncertainty(torch.tensor([[3.0, 0.0]]), torch.full((1, 2), 0.5), state).backward()
    assert state.log_variances.grad[0, 1] == 0
    assert state.log_variances.grad[0, 0] == 0.5 * (1 - 3)


def test_logits_of_famo_are_not_moved() -> None:
    famo = FAMO()
    state: Any = famo.build(3, 1)
    for _ in range(2):
        famo.review(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.5, 1.9, 2.0]]), state)
    before = copy.deepcopy(state)
    famo.review(torch.tensor([[1.0, 0.0, 3.0]]), torch.tensor([[0.5, 0.0, 2.0]]), state)
    for name, value in state.named_buffers():
        own = dict(before.named_buffers())[name]
        assert value[0, 1] == own[0, 1], name
        assert value[0, 0] != own[0, 0], name


@pytest.mark.parametrize("objective", [DWA(), FAMO()])
def test_states_of_checkpoints_with_one_count_load(objective: Any) -> None:
    state = objective.build(3, 2)
    old = {
        key: torch.tensor(4).to(value) if key in ("steps", "epochs") else value
        for key, value in state.state_dict().items()
    }
    state.load_state_dict(old)
    assert state.steps.shape == (2, 3)
    assert (state.steps == 4).all()


def test_rows_without_a_task_have_a_hypervolume_of_their_own() -> None:
    objective = HypervolumeGradient(reference=(4.0,))
    full = np.array([[1.0, 2.0], [2.0, 1.0]])
    wanted = objective.weights(full)
    absent = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
    found = objective.weights(absent)
    assert np.isfinite(found).all()
    assert (found[:, 1] == 0).all()
    assert (found[:, 0] == 1).all(), "fronts of one loss each, weights of length 1"
    mixed = objective.weights(np.vstack([full, [[0.0, 3.0]], [[0.0, 0.0]]]))
    np.testing.assert_allclose(mixed[:2], wanted)
    assert mixed[2:].tolist() == [[0, 1], [0, 0]]


def test_rows_without_a_task_are_not_out_of_order() -> None:
    preferences = torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.1, 0.9]])
    losses = torch.tensor([[0.1, 0.9], [0.0, 0.5], [0.9, 0.1]], requires_grad=True)
    assert order_violation(losses, preferences) == 0, "0 is no smaller loss, it is none"
    assert order_violation(torch.tensor([[0.5, 0.9], [0.1, 0.5], [0.9, 0.1]]), preferences) > 0


def test_sectors_and_particles_leave_an_absent_task_out() -> None:
    jacobians = torch.stack([gradients(), gradients(None)])
    losses, preferences = torch.cat([losses_of(), losses_of(None)]), torch.tensor([[0.6, 0.2, 0.2], [0.2, 0.2, 0.6]])
    gramians = jacobians @ jacobians.transpose(1, 2)
    sectors = ParetoMTL()
    state: Any = sectors.build(3, 2)
    state.arrived.fill_(True)
    weights = sectors.weights(losses, preferences, gramians, state)
    assert weights[0, 1] == 0
    assert ((weights[0] @ jacobians[0]).norm() > 1e-3).item()
    state.arrived.fill_(False)
    sectors.weights(
        losses_of().expand(2, 3) * 1.0, torch.tensor([[0.01, 0.49, 0.5], [0.98, 0.01, 0.01]]), gramians[[0, 0]], state
    )
    assert not state.arrived.any(), "nobody knows where a row is whose loss is not known"
    apart = MOOSVGD(repulsion=0).aggregate(jacobians, losses, preferences)
    assert torch.isfinite(apart).all()
    assert ((apart @ jacobians[0].T)[0, [0, 2]] > 0).all(), "both present tasks fall"


def test_weights_of_the_present() -> None:
    found = solved_for_present(
        lambda g: np.full(len(g), 1 / len(g)), np.array([1.0, 0.0, 0.0]), np.diag([1.0, 0.0, 2.0])
    )
    assert found.tolist() == [0.5, 0, 0.5], "a loss of 0 with a gradient is that of a task"
    assert solved_for_present(np.diagonal, np.zeros(2), np.zeros((2, 2))).tolist() == [0, 0]
    assert present(torch.tensor([0.0, -1.0, float("nan")])).tolist() == [False, True, True]
    assert mean_of_present(torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]])).tolist() == [1, 0]
