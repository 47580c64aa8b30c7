"""Weighted sum of losses, drawn to the ray of the preference: COSMOS."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from moframework.config import config, option
from moframework.objectives.base import Scalarization
from moframework.objectives.presence import present
from moframework.objectives.rays import Direction, rays

__all__ = ["CosinePenalty", "alignment"]


@config
class CosinePenalty(Scalarization):
    """Weighted sum minus a cosine, `mean_j Σ_t λ_jt L_jt − c cos(L_j, u_j)` (COSMOS, Ruchte and Grabocka, ICDM 2021,
    arXiv 2103.13392); u_j is the ray of preference j.

    The cosine spreads the front. As published u is λ: the sum then asks for a small loss where λ_t is large, the
    cosine for a large one, and with a large c the cosine wins. With `direction: inverse` both ask for the same.
    Losses are expected to be positive.

    >>> import torch
    >>> losses, preferences = torch.tensor([[3.0, 1.0]]), torch.tensor([[0.25, 0.75]])
    >>> round(float(CosinePenalty(coefficient=2.0)(losses, preferences)), 4)  # on the ray: ¼ · 3 + ¾ · 1 − 2
    -0.5
    """

    coefficient: float = option(2.0, ge=0, help="weight c of the cosine; COSMOS uses 0.01 to 8")
    direction: Direction = option(
        "inverse",
        help="inverse: the ray is 1/λ, so that a larger λ_t means a smaller loss; preference: the ray is λ, as "
        "published, so that it means a larger one",
    )

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Scalarization.__call__`."""
        linear = (losses * preferences).sum(dim=1).mean()
        return linear - self.coefficient * alignment(losses, preferences, self.direction)


def alignment(losses: Tensor, preferences: Tensor, direction: Direction) -> Tensor:
    """The mean over rows of the cosine between losses (r, m) and the rays of the preferences, in the tasks that
    are present; a scalar in [−1, 1]."""
    return cosine_similarity(losses, rays(preferences, direction) * present(losses), dim=1).mean()
