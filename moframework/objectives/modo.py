"""MoDo: weights that follow the shortest direction by products of independent gradients."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from moframework.config import config, option
from moframework.objectives.double_sampling import DoubleSampling, among_known, kept_weights
from moframework.objectives.host import onto_simplex, solved_on_host
from moframework.objectives.presence import unknown_of

__all__ = ["MoDo", "modo_step"]

Array = NDArray[np.float64]


@config
class MoDo(DoubleSampling):
    """Multi-objective gradient with double sampling (Chen, Fernando, Ying, Chen, NeurIPS 2023 and JMLR 2024, arXiv
    2305.20057): `w ← Π_Δ(w − γ (C w + ρ w))` with C = J₁ J₂ᵀ of two independent samples, one step a training step.

    With the Gramian of one sample, as in MGDA, noise of the gradients adds to its diagonal, so that noisy tasks get too
    little weight; C has no such bias. The two samples are the halves of a batch, and the step goes down the mean of
    both (Eq. 2.9b), so that a step costs as much as for other weightings. γ and ρ are those of the released code.

    w does not depend on λ but through the network, so a preference multiplies it: loss t weighs m λ_t w_t, and equal
    preferences give the method itself. Limits: gradients are taken as they are, so γ must suit their size; BatchNorm
    sees half batches; a batch of one sample stands for both halves.

    >>> objective, losses, preferences = MoDo(gamma=0.1), torch.tensor([[1.0, 1.0]]), torch.tensor([[0.5, 0.5]])
    >>> products = torch.tensor([[[1.0, 0.0], [0.0, 3.0]]])
    >>> objective.weights(losses, preferences, products, objective.build(m=2, r=1))  # w_2 − w_1 = −0.1 · (3 − 1) · ½
    tensor([[0.5500, 0.4500]])
    """

    gamma: float = option(0.1, gt=0, help="size γ of a step of the weights")
    rho: float = option(0.1, ge=0, help="pull ρ toward even weights")

    def weights(self, losses: Tensor, preferences: Tensor, gramians: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Weighting.weights`; changes the state. Rows that are not finite leave it as it is."""
        own, known = kept_weights(state), ~unknown_of(losses, gramians)

        def moved(weights: Array, products: Array, here: Array) -> Array:
            return modo_step(weights, products, here > 0, self.gamma, self.rho)

        found = solved_on_host(moved, own, own, gramians, known)
        own.copy_(torch.where(found.isfinite(), found, own))
        broken = 0 * losses.sum(dim=1, keepdim=True)
        share = among_known(found, known)
        return losses.shape[1] * preferences * share.to(losses) + broken


def modo_step(weights: Array, products: Array, known: NDArray[np.bool_], gamma: float, rho: float) -> Array:
    """The weights (m,) after a step; those of tasks that are not `known` (m,) stay, and the others keep their sum.

    Args:
        weights: on the simplex, (m,).
        products: C (m, m), of gradients on one sample with those on another.

    >>> both = np.array([True, True])
    >>> modo_step(np.array([0.5, 0.5]), np.diag([1.0, 3.0]), both, gamma=0.1, rho=0.0).round(6).tolist()
    [0.55, 0.45]
    """
    total = float(weights[known].sum())
    if total <= 0:
        return weights
    share = weights[known] / total
    slope = products[np.ix_(known, known)] @ share + rho * share
    moved = weights.copy()
    moved[known] = total * onto_simplex(share - gamma * slope)
    return moved
