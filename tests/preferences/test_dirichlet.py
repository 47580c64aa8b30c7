from __future__ import annotations

import pytest
import torch

from moframework.config.options import OptionError
from moframework.preferences.dirichlet import AnnealedDirichlet, Dirichlet
from tests.preferences.claims import seeded


def spread(rows: torch.Tensor) -> float:
    """Variance of the first weight."""
    return float(rows[:, 0].double().var())


@pytest.mark.parametrize("concentration", [0.2, 1.0, 7.0])
def test_dirichlet_has_its_variance_at_any_progress(concentration: float) -> None:
    for progress in (0.01, 1.0):
        drawn = Dirichlet(concentration=concentration).draw(progress, 5000, 3, seeded())
        assert spread(drawn) == pytest.approx((2 / 9) / (3 * concentration + 1), rel=0.08)


@pytest.mark.parametrize("progress", [1e-6, 0.25, 0.5, 0.75])
def test_annealed_dirichlet_narrows_as_stated(progress: float) -> None:
    drawn = AnnealedDirichlet(concentration=2.0).draw(progress, 5000, 4, seeded())
    parameter = 2.0 * (1 - progress) + 0.001
    assert spread(drawn) == pytest.approx((3 / 16) / (4 * parameter + 1), rel=0.08)


@pytest.mark.parametrize("m", [2, 7, 40])
def test_annealed_dirichlet_ends_at_the_vertices_of_all_tasks(m: int) -> None:
    drawn = AnnealedDirichlet().draw(1.0, 40 * m, m, seeded())
    assert torch.isfinite(drawn).all()
    assert (drawn.max(dim=0).values > 0.999).all()
    assert (drawn.max(dim=1).values > 0.9).double().mean() > 0.9


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(OptionError, match="concentration must be at least"):
        Dirichlet(concentration=0.0)
    with pytest.raises(OptionError, match="concentration must be greater than 0"):
        AnnealedDirichlet(concentration=0.0)
