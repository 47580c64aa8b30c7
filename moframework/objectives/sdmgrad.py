"""SDMGrad: a direction near that of the preference, by products of independent gradients."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from moframework.config import config, option
from moframework.objectives.double_sampling import DoubleSampling, among_known, kept_weights
from moframework.objectives.host import onto_simplex, solved_on_host
from moframework.objectives.presence import unknown_of

__all__ = ["SDMGrad", "sdmgrad_weights"]

Array = NDArray[np.float64]

# Added to the scale that products are divided by, as released.
_LEAST = 1e-8


@config
class SDMGrad(DoubleSampling):
    """Stochastic direction-oriented multi-objective gradient (Xiao, Ban, Ji, NeurIPS 2023, arXiv 2305.18409): the
    direction `(g_w + κ g_λ) / (1 + κ)`, g_w = Σ_t w_t g_t, whose w minimizes `½ ‖g_w + κ g_λ‖²` on the simplex.

    The preference λ is the method's own direction vector: κ = 0 is MGDA, and a large κ goes down the weighted sum of
    losses. w goes on from the step before by `steps` of projected gradient descent with momentum, whose gradient
    `C (w + κ λ)` takes C = J₁ J₂ᵀ of two independent samples, divided by the square of the mean of √C_tt, as released;
    steps and rates are those of the released code. Its experiments have κ = 0.3, its class 0.6.

    The two samples are the halves of a batch, and the step goes down the mean of both, where the paper takes a third.
    Limits: it is solved on the host in every step; BatchNorm sees half batches; a batch of one sample stands for both.

    >>> objective, losses, preferences = SDMGrad(kappa=0.0, rate=0.5), torch.ones(1, 2), torch.tensor([[0.5, 0.5]])
    >>> products = torch.tensor([[[1.0, 0.0], [0.0, 3.0]]])
    >>> weights = objective.weights(losses, preferences, products, objective.build(m=2, r=1))
    >>> weights.round(decimals=2)  # MGDA's, in proportion to 1 and 1/3
    tensor([[0.7500, 0.2500]])
    """

    kappa: float = option(0.3, ge=0, help="pull κ toward the direction of the preference")
    rate: float = option(10.0, gt=0, help="size of an inner step")
    momentum: float = option(0.5, ge=0, lt=1, help="momentum of the inner steps")
    steps: int = option(20, ge=1, le=1000, help="inner steps")

    def weights(self, losses: Tensor, preferences: Tensor, gramians: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Weighting.weights`; changes the state. Rows that are not finite leave it as it is."""
        own, known = kept_weights(state), ~unknown_of(losses, gramians)

        def moved(weights: Array, preference: Array, products: Array, here: Array) -> Array:
            return self._of_known(weights, preference, products, here > 0)

        found = solved_on_host(moved, own, own, preferences, gramians, known)
        own.copy_(torch.where(found.isfinite(), found, own))
        total = (preferences * known).sum(dim=1, keepdim=True).clamp_min(torch.finfo(losses.dtype).tiny)
        share = among_known(found, known)
        pulled = share.to(losses) + self.kappa * preferences * known / total
        return pulled / (1 + self.kappa) + 0 * losses.sum(dim=1, keepdim=True)

    def _of_known(self, weights: Array, preference: Array, products: Array, known: NDArray[np.bool_]) -> Array:
        """w with the tasks that are known moved, among themselves."""
        total, pull = float(weights[known].sum()), float(preference[known].sum())
        if total <= 0 or pull <= 0:
            return weights
        moved = weights.copy()
        inner = products[np.ix_(known, known)]
        moved[known] = total * sdmgrad_weights(weights[known] / total, preference[known] / pull, inner, self)
        return moved


def sdmgrad_weights(weights: Array, preference: Array, products: Array, options: SDMGrad) -> Array:
    """w after the inner steps from `weights`, both (m,) on the simplex.

    Args:
        preference: λ (m,).
        products: C (m, m).

    >>> even = np.array([0.5, 0.5])
    >>> sdmgrad_weights(even, even, np.diag([1.0, 1.0]), SDMGrad(kappa=0.0)).round(6).tolist()
    [0.5, 0.5]
    """
    scale = float(np.sqrt(products.diagonal().clip(min=0)).mean()) ** 2 + _LEAST
    velocity = np.zeros_like(weights)
    for _ in range(options.steps):
        velocity = options.momentum * velocity + products @ (weights + options.kappa * preference) / scale
        weights = onto_simplex(weights - options.rate * velocity)
    return weights
