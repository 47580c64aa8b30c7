"""TorchJD's methods through our contract: the method itself for equal preferences, and what a preference does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from moframework.config.structure import build
from moframework.errors import SpecError
from moframework.objectives import Aggregation, Objective, Weighting, from_torchjd
from tests.extras import needs_torchjd

WEIGHTINGS = {
    "mgda": "MGDAWeighting",
    "pcgrad": "PCGradWeighting",
    "gradvac": "GradVacWeighting",
    "imtl_g": "IMTLGWeighting",
    "aligned_mtl": "AlignedMTLWeighting",
}
NAMES = [*WEIGHTINGS, "fairgrad", "upgrad", "dual_proj"]
EVEN = torch.full((1, 3), 1 / 3)


def jacobian(seed: int = 0, conflict: bool = True) -> Tensor:
    made = torch.randn(3, 8, generator=torch.Generator().manual_seed(seed)) * torch.tensor([[1.0], [3.0], [0.3]])
    return made if conflict else made.abs()


def weights_of(objective: Objective, jacobian: Tensor, preferences: Tensor = EVEN, state: Any = None) -> Tensor:
    assert isinstance(objective, Weighting)
    state = objective.build(3, 1) if state is None else state
    torch.manual_seed(0)
    return objective.weights(torch.ones(1, 3), preferences, (jacobian @ jacobian.T)[None], state)[0]


@needs_torchjd
@pytest.mark.parametrize("name", WEIGHTINGS)
def test_equal_preferences_give_the_method_itself(name: str) -> None:
    import torchjd.aggregation

    peer = getattr(torchjd.aggregation, WEIGHTINGS[name])()
    objective = build(Objective, name)
    state = objective.build(3, 1)
    for seed in range(4):  # one after the other: gradvac remembers
        matrix = jacobian(seed)
        ours = weights_of(objective, matrix, state=state)
        torch.manual_seed(0)
        torch.testing.assert_close(ours, peer(matrix @ matrix.T))


@needs_torchjd
@pytest.mark.parametrize("name", ["upgrad", "dual_proj"])
def test_projections_need_no_quadprog_and_are_exact(name: str) -> None:
    """Against a general solver: `min vᵀ G v` over v ≥ u."""
    matrix = jacobian(1).double()
    gramian = (matrix @ matrix.T).numpy()
    scaled = gramian / np.trace(gramian)
    u = np.diag(np.full(3, 1 / 3)) if name == "upgrad" else np.full((1, 3), 1 / 3)
    expected = np.zeros(3)
    for row in u:
        bounds = [(float(v), None) for v in row]
        expected += minimize(lambda v: v @ scaled @ v, row, jac=lambda v: 2 * scaled @ v, bounds=bounds, tol=1e-14).x
    found = weights_of(build(Objective, name), matrix)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    assert (gramian @ found.numpy() >= -1e-6).all()


@needs_torchjd
@pytest.mark.parametrize("name", ["pcgrad", "gradvac", "upgrad", "dual_proj", "imtl_g", "mgda", "fairgrad"])
def test_without_conflict_a_larger_preference_weighs_more(name: str) -> None:
    matrix = torch.eye(3)
    found = weights_of(build(Objective, name), matrix, torch.tensor([[0.6, 0.3, 0.1]]))
    ratio = found / torch.tensor([0.6, 0.3, 0.1])
    torch.testing.assert_close(ratio, ratio[:1].expand(3), atol=1e-5, rtol=1e-4)


@needs_torchjd
@pytest.mark.parametrize("name", NAMES)
def test_a_preference_of_zero_and_losses_that_are_not_finite(name: str) -> None:
    objective = build(Objective, name)
    found = weights_of(objective, jacobian(), torch.tensor([[0.7, 0.3, 0.0]]))
    assert bool(found.isfinite().all())
    broken = jacobian()
    broken[1, 0] = float("nan")
    assert bool(weights_of(objective, broken).isnan().all())


@needs_torchjd
def test_aligned_mtl_has_the_preference_as_its_vector() -> None:
    from torchjd.aggregation import AlignedMTLWeighting

    preference, matrix = torch.tensor([[0.6, 0.3, 0.1]]), jacobian()
    expected = AlignedMTLWeighting(preference[0], scale_mode="rmse")(matrix @ matrix.T)
    torch.testing.assert_close(weights_of(from_torchjd.AlignedMTL(scale_mode="rmse"), matrix, preference), expected)


@needs_torchjd
@pytest.mark.parametrize("name", ["graddrop", "config"])
def test_aggregators_are_called_as_they_are(name: str) -> None:
    from torchjd.aggregation import ConFIG, GradDrop

    objective, matrix = build(Objective, name), jacobian()
    assert isinstance(objective, Aggregation)
    torch.manual_seed(5)
    found = objective.aggregate(matrix[None], torch.ones(1, 3), EVEN, objective.build(3, 1))[0]
    torch.manual_seed(5)
    torch.testing.assert_close(found, (GradDrop() if name == "graddrop" else ConFIG())(matrix))


@needs_torchjd
def test_graddrop_leaks_what_it_is_told() -> None:
    objective = from_torchjd.GradDrop(leak=(1.0, 1.0, 1.0))
    matrix = jacobian()
    found = objective.aggregate(matrix[None], torch.ones(1, 3), EVEN, objective.build(3, 1))[0]
    torch.testing.assert_close(found, matrix.sum(dim=0))
    assert from_torchjd.GradDrop(leak=(1.0,)).faults(2, 1) == ["leak: has 1 numbers; the problem has 2 tasks"]


@needs_torchjd
def test_memory_of_gradvac_is_saved() -> None:
    objective = from_torchjd.GradVac()
    state, again = objective.build(3, 1), objective.build(3, 1)
    for seed in range(5):
        weights_of(objective, jacobian(seed), state=state)
    fresh = weights_of(objective, jacobian(9), state=objective.build(3, 1))
    again.load_state_dict(state.state_dict())
    ours = weights_of(objective, jacobian(9), state=state)
    assert torch.equal(ours, weights_of(objective, jacobian(9), state=again))
    assert not torch.equal(ours, fresh)


def test_missing_packages_are_named_with_what_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(from_torchjd, "find_spec", lambda name: None if name in ("cvxpy", "clarabel") else object())
    assert from_torchjd.CAGrad().faults(2, 1) == [
        "needs cvxpy and clarabel, not installed here: pip install 'moframework[cagrad]'"
    ]
    assert from_torchjd.PCGrad().faults(2, 1) == []
    monkeypatch.setattr(from_torchjd, "find_spec", lambda name: None)
    assert from_torchjd.PCGrad().faults(2, 1) == [
        "needs torchjd, not installed here: pip install 'moframework[torchjd]'"
    ]


def test_the_method_refuses_what_does_not_fit_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.engine.conftest import method

    monkeypatch.setattr(from_torchjd, "find_spec", lambda name: None)
    with pytest.raises(SpecError, match=r"solver.objective: needs torchjd.*pip install 'moframework\[torchjd\]'"):
        method(objective=from_torchjd.MGDA()).check(2)
    method().check(2)


def test_cagrad_where_its_packages_are_installed() -> None:
    objective = from_torchjd.CAGrad(c=0.4)
    faults = objective.faults(3, 1)
    if faults:
        pytest.skip(faults[0])
    matrix = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, -3.0], [2.0, -1.0, 1.0]])
    # CAGradWeighting(c=0.4) of TorchJD 0.18.0, cvxpy 1.9.3, clarabel 0.11.1
    expected = torch.tensor([0.333333333, 0.363292733, 0.575282269])
    torch.testing.assert_close(weights_of(objective, matrix), expected, atol=1e-5, rtol=0)
