"""Schedules that draw independent preferences from a Dirichlet distribution, fixed or narrowing to the vertices."""

from __future__ import annotations

from torch import Generator, Tensor

from moframework.config import config, option
from moframework.preferences.base import Schedule, check_draw
from moframework.preferences.sampling import log_dirichlet, simplex

__all__ = ["AnnealedDirichlet", "Dirichlet"]

_CONCENTRATION = "1 is uniform on the simplex, above 1 towards its center, below 1 towards its vertices"


@config
class Dirichlet(Schedule):
    """Independent draws from one Dirichlet distribution, whatever the progress: PaMaL, LORPMAN, hypernetworks,
    COSMOS.

    >>> drawn = Dirichlet(concentration=1e6).draw(0.5, 2, 2, Generator().manual_seed(0))
    >>> drawn.round(decimals=2)  # near the center, as the parameters are large
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """

    concentration: float = option(
        1.0, ge=0.001, help=f"all m parameters of the Dirichlet distribution: {_CONCENTRATION}"
    )

    def natural_count(self, m: int) -> int:
        """5; for one task 1."""
        return 1 if m == 1 else 5

    def draw(self, progress: float, count: int, m: int, generator: Generator) -> Tensor:
        """See `Schedule.draw`."""
        check_draw(progress, count, m)
        return simplex(log_dirichlet(self.concentration, count, m, generator))


@config
class AnnealedDirichlet(Schedule):
    """Draws from a Dirichlet distribution that narrows to the vertices: parameters `p·(1−t) + 0.001` at progress t.

    What PaLoRA's released code does beyond three tasks (Dimitriadis, Frossard, Fleuret, ICLR 2025).

    >>> drawn = AnnealedDirichlet(concentration=1e6).draw(0.01, 3, 2, Generator().manual_seed(0))
    >>> drawn.amax(dim=1).round(decimals=2)  # at the start, near the center
    tensor([0.5000, 0.5000, 0.5000])
    >>> drawn = AnnealedDirichlet(concentration=1e6).draw(1.0, 3, 2, Generator().manual_seed(0))
    >>> drawn.amax(dim=1).round(decimals=2)  # at the end, near a vertex
    tensor([1., 1., 1.])
    """

    concentration: float = option(1.0, gt=0, help=f"p: all m parameters at the start; {_CONCENTRATION}")

    def natural_count(self, m: int) -> int:
        """5; for one task 1."""
        return 1 if m == 1 else 5

    def draw(self, progress: float, count: int, m: int, generator: Generator) -> Tensor:
        """See `Schedule.draw`."""
        check_draw(progress, count, m)
        # 0.001 as published: a parameter must stay positive; at 0.001 nearly every draw is a vertex.
        return simplex(log_dirichlet(self.concentration * (1 - progress) + 0.001, count, m, generator))
