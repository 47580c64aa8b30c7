"""The objective `torchjd`: aggregators of the installed release by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from moframework.config import build
from moframework.config.structure import unstructure
from moframework.errors import MoframeworkError
from moframework.objectives import Objective, torchjd_by_name
from moframework.objectives.torchjd_by_name import TorchJD, TorchJDMethod
from moframework.reference.catalog import parts
from tests.extras import needs_torchjd

EVEN, LOSSES = torch.full((1, 4), 0.25), torch.ones(1, 4)
OPTIONS: dict[str, dict[str, Any]] = {
    "cagrad": {"c": 0.5},
    "fairgrad": {"alpha": 2.0},
    "krum": {"n_byzantine": 1},
    "trimmedmean": {"trim_number": 1},
}


def jacobian(seed: int = 0) -> Tensor:
    return torch.randn(4, 6, generator=torch.Generator().manual_seed(seed))


def named(name: str) -> TorchJD:
    method: TorchJDMethod = build(TorchJDMethod, {"name": name, **OPTIONS.get(name, {})})  # type: ignore[type-abstract]
    return TorchJD(method=method)


def direction(objective: TorchJD, matrix: Tensor, state: Any, preferences: Tensor = EVEN) -> Tensor:
    torch.manual_seed(0)
    return objective.aggregate(matrix[None], LOSSES, preferences, state)[0]


@needs_torchjd
def test_the_names_are_those_of_the_installed_release() -> None:
    import torchjd.aggregation as installed

    offered = {name.lower() for name in installed.__all__}
    assert set(TorchJDMethod.names()) <= offered
    assert set(TorchJDMethod.names()) >= {"upgrad", "mgda", "krum", "trimmedmean", "pcd", "excessmtl", "graddrop"}
    left_out = {
        "aggregator",
        "weightedaggregator",
        "gramianweightedaggregator",
        "constant",
        "nashmtl",
        "upgradweighting",
    }
    assert not left_out & set(TorchJDMethod.names())
    for part in parts("torchjd_methods"):
        assert part.package == "torchjd"
        assert part.summary
        assert "`" not in part.summary


@needs_torchjd
@pytest.mark.parametrize("name", TorchJDMethod.names())
def test_equal_preferences_give_the_method_itself_step_by_step(name: str) -> None:
    objective = named(name)
    faults = objective.faults(4, 1)
    if faults:
        assert "ImportError" in str(faults) or "to be installed" in faults[0]
        pytest.skip(faults[0])
    assert objective.method is not None
    state, peer = objective.build(4, 1), objective.method.make(4)
    for seed in range(3):
        found = direction(objective, jacobian(seed), state)
        torch.manual_seed(0)
        torch.testing.assert_close(found, peer(jacobian(seed)), rtol=1e-6, atol=1e-6)
    assert build(Objective, unstructure(objective)) == objective  # type: ignore[type-abstract]


@needs_torchjd
def test_a_preference_is_the_vector_of_the_method_or_scales_the_gradients() -> None:
    from torchjd.aggregation import AlignedMTL, TrimmedMean

    preference, matrix = torch.tensor([[0.4, 0.3, 0.2, 0.1]]), jacobian()
    own, scaled = named("alignedmtl"), named("trimmedmean")
    expected = AlignedMTL(pref_vector=preference[0])(matrix)
    torch.testing.assert_close(direction(own, matrix, own.build(4, 1), preference), expected)
    expected = TrimmedMean(trim_number=1)(4 * preference[0].unsqueeze(1) * matrix)
    torch.testing.assert_close(direction(scaled, matrix, scaled.build(4, 1), preference), expected)


@needs_torchjd
def test_a_task_without_labels_is_left_out_and_what_is_not_finite_stays_so() -> None:
    objective, matrix, losses = named("mgda"), jacobian(), LOSSES.clone()
    matrix[2], losses[0, 2] = 0, 0
    found = objective.aggregate(matrix[None], losses, EVEN, objective.build(4, 1))[0]
    kept = [0, 1, 3]
    expected = objective.aggregate(matrix[None, kept], losses[:, kept], EVEN[:, kept], objective.build(3, 1))[0]
    torch.testing.assert_close(found / found.norm(), expected / expected.norm(), rtol=1e-4, atol=1e-5)
    nothing = objective.aggregate(0 * matrix[None], 0 * losses, EVEN, objective.build(4, 1))
    assert not nothing.any()
    matrix[0, 0] = torch.nan
    assert bool(objective.aggregate(matrix[None], LOSSES, EVEN, objective.build(4, 1)).isnan().all())


@needs_torchjd
def test_a_state_that_is_saved_before_it_is_used_again_is_kept() -> None:
    objective = named("excessmtl")
    state, once, twice = (objective.build(4, 1) for _ in range(3))
    for seed in range(3):
        direction(objective, jacobian(seed), state)
    once.load_state_dict(state.state_dict())
    twice.load_state_dict(once.state_dict())
    found = direction(objective, jacobian(9), state)
    assert torch.equal(direction(objective, jacobian(9), twice), found)
    assert not torch.equal(direction(objective, jacobian(9), objective.build(4, 1)), found)


@needs_torchjd
def test_what_is_wrong_is_told_before_training() -> None:
    assert "method: must be named; TorchJD 0." in TorchJD().faults(2, 1)[0]
    assert "upgrad" in TorchJD().faults(2, 1)[0]
    few = named("krum").faults(2, 1)
    assert few
    assert few[0].startswith("method: Krum: Parameter `gramian` should have at least 4 rows")
    with pytest.raises(MoframeworkError, match=r"no torch jd method called 'upgrd'.*did you mean 'upgrad'"):
        build(TorchJDMethod, "upgrd")  # type: ignore[type-abstract]
    with pytest.raises(MoframeworkError, match=r"trim_numbr.*trim_number"):
        build(TorchJDMethod, {"name": "trimmedmean", "trim_numbr": 1})  # type: ignore[type-abstract]
    with pytest.raises(MoframeworkError, match="trim_number"):
        build(TorchJDMethod, {"name": "trimmedmean", "trim_number": "one"})  # type: ignore[type-abstract]
    with pytest.raises(MoframeworkError, match="no method of TorchJD called 'x'"):
        TorchJDMethod.lookup("x")


def test_without_torchjd_the_way_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchjd_by_name, "find_spec", lambda name: None)
    wanted = r"pip install 'moframework\[torchjd\]'"
    assert TorchJDMethod.names() == ()
    assert TorchJD().faults(2, 1) == ["TorchJD is not installed here: pip install 'moframework[torchjd]'"]
    with pytest.raises(MoframeworkError, match=wanted):
        build(TorchJDMethod, "upgrad")  # type: ignore[type-abstract]
    with pytest.raises(MoframeworkError, match=wanted):
        TorchJDMethod.lookup("upgrad")
    with pytest.raises(MoframeworkError, match=wanted):
        parts("torchjd_methods")
