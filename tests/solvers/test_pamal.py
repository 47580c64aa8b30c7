"""PaMaL: a hull of independent members, uniform preferences."""

from __future__ import annotations

from pathlib import Path

import pytest

from moframework.objectives.linear import Linear
from moframework.objectives.multi_forward import MultiForward
from moframework.preferences.dirichlet import Dirichlet
from moframework.solvers.pamal import PaMaL
from moframework.weights.convex_hull import ConvexHull
from tests.solvers.tiny import planned, solved


def test_defaults_are_the_papers() -> None:
    method = PaMaL().method(2)
    assert method.weights == ConvexHull(lr_factor=None)  # m times the learning rate
    assert method.preferences == Dirichlet(concentration=1.0, per_batch=4, batch="shared")
    assert method.objective == Linear()
    assert PaMaL.continuous


def test_overhead_is_one_network_for_each_further_task() -> None:
    ready = planned("pamal")
    own = sum(p.numel() for p in ready.model.space.parameters())
    assert own == 2 * ready.backbone_parameters
    assert "+100.0%" in "\n".join(ready.describe())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lr_factor": 1.0, "preferences": {"name": "dirichlet", "per_batch": 4, "batch": "split"}},
        {"objective": {"name": "multi_forward", "coefficient": 1.0}, "balancing": ["gradient"]},
        {"objective": "smooth_tchebycheff"},
    ],
)
def test_solves_with_parts_exchanged(changes: dict[str, object], tmp_path: Path) -> None:
    run = solved({"name": "pamal", **changes}, tmp_path / "run")
    assert len(run.front("test").losses) == 3


def test_the_multi_forward_term_is_an_objective() -> None:
    method = planned({"name": "pamal", "objective": {"name": "multi_forward", "coefficient": 5}}).method
    assert isinstance(method.objective, MultiForward)
