"""Multi-objective Stein variational gradient descent: networks that descend together and keep apart."""

from __future__ import annotations

import math
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.objectives.base import Aggregation
from moframework.objectives.gramian import min_norm_weights
from moframework.objectives.host import solved_on_host
from moframework.objectives.presence import solved_for_present

__all__ = ["MOOSVGD", "kernel"]


@config
class MOOSVGD(Aggregation):
    """Multi-objective Stein variational gradient descent (Liu, Tong, Liu, NeurIPS 2021).

    Row i of a step descends `Σ_j k(L_i, L_j) g_j + α Σ_j ∂k(L_i, L_j)/∂θ_i`: g_j is the shortest convex combination of
    the gradients of row j, k a Gaussian kernel between loss vectors. Rows whose losses are close share their descent
    and push each other along the front.

    Preferences play no part: made for a finite set of networks; which of them ends where is open. Limits: keeps the
    gradients of all rows at once; reads Gramians on the host in every step.

    >>> objective, losses = MOOSVGD(bandwidth=0.01), torch.tensor([[1.0, 3.0], [3.0, 1.0]])
    >>> jacobians = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 3.0]]])
    >>> objective.aggregate(jacobians, losses, torch.ones(2, 2) / 2)  # far apart: each its shortest convex combination
    tensor([[0.5000, 0.5000],
            [0.9000, 0.3000]])
    """

    separable: ClassVar[bool] = False
    bandwidth: float | None = option(
        None, gt=0, help="h of the kernel exp(−‖L_i − L_j‖²/h); none: median of the squared distances over log r"
    )
    repulsion: float = option(1.0, ge=0, help="weight α of the term that keeps rows apart")

    def faults(self, m: int, r: int) -> list[str]:
        """See `Objective.faults`."""
        return ["networks keep apart from each other: there must be at least 2 preferences a step"] if r < 2 else []

    def aggregate(
        self, jacobians: Tensor, losses: Tensor, preferences: Tensor, state: nn.Module | None = None
    ) -> Tensor:
        """See `Aggregation.aggregate`."""
        gramians = jacobians @ jacobians.transpose(1, 2)
        shortest = solved_on_host(partial(solved_for_present, min_norm_weights), losses, losses, gramians)
        descent = torch.einsum("rm,rmp->rp", shortest, jacobians)
        similarity, slope = kernel(losses, self.bandwidth)
        return similarity @ descent + self.repulsion * torch.einsum("rm,rmp->rp", slope, jacobians)


def kernel(losses: Tensor, bandwidth: float | None = None) -> tuple[Tensor, Tensor]:
    """Gaussian kernel between loss vectors and its slope.

    Args:
        losses: L (r, m), r at least 2.
        bandwidth: h, or None for the median of all r² squared distances over log r, as released.

    Returns:
        k (r, r) with `k_ij = exp(−‖L_i − L_j‖²/h)`, and `Σ_j ∂k_ij/∂L_i` (r, m), for L_j held fixed. Equal rows have
        k = 1 and slope 0.
    """
    apart = losses.unsqueeze(1) - losses
    squared = apart.square().sum(dim=2)
    if bandwidth is None:
        h = squared.flatten().quantile(0.5) / math.log(len(losses))
        h = h.clamp_min(torch.finfo(losses.dtype).tiny)  # all rows equal: any bandwidth gives the same
    else:
        h = torch.full_like(squared[0, 0], bandwidth)
    similarity = (-squared / h).exp()
    return similarity, (-2 / h) * (similarity.unsqueeze(2) * apart).sum(dim=1)
