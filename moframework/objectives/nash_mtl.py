"""Nash-MTL: the bargaining solution between tasks."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from moframework.config import config, option
from moframework.objectives.base import Weighting
from moframework.objectives.host import solved_on_host

__all__ = ["NashMTL", "nash_weights"]

Array = NDArray[np.float64]

# Gradients that cancel, or vanish, leave the weights unbounded; this much of the identity bounds them by about 1e4.
_RIDGE = 1e-8


@config
class NashMTL(Weighting):
    """Nash bargaining between tasks, `G α = 1/α` with α > 0 (Navon et al., ICML 2022, arXiv 2202.01017).

    The released code approaches α by a sequence of convex programs that start from the step before. Since G is positive
    semi-definite, α is the minimum of the convex `½ αᵀ G α − Σ_t log α_t`, which Newton's method finds exactly: no
    state, no solver package. The combined gradient then always has norm √m; as released it is cut to `max_norm`.

    α does not depend on the scale of a loss, so a preference tilts the result: loss t weighs m λ_t α_t. Equal
    preferences give Nash-MTL itself. Limits: with more than two tasks Gramians are read on the host in every step; two
    have a closed form.

    >>> losses, preferences = torch.tensor([[1.0, 1.0]]), torch.tensor([[0.5, 0.5]])
    >>> gramians = torch.tensor([[[1.0, 0.0], [0.0, 4.0]]])
    >>> NashMTL(max_norm=None).weights(losses, preferences, gramians)  # α_1 = 1 / α_1 and 4 α_2 = 1 / α_2
    tensor([[1.0000, 0.5000]])
    """

    max_norm: float | None = option(1.0, gt=0, help="largest norm of the combined gradient Σ α_t g_t; none: any")

    def weights(self, losses: Tensor, preferences: Tensor, gramians: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Weighting.weights`."""
        if losses.shape[1] == 2 and losses.device.type != "mps":  # which has no float64
            found = _of_two(gramians, self.max_norm).to(losses.dtype)
        else:
            found = solved_on_host(lambda gramian: nash_weights(gramian, self.max_norm), losses, gramians)
        return found * preferences * losses.shape[1]


def _of_two(gramians: Tensor, max_norm: float | None) -> Tensor:
    """`nash_weights` of each of some Gramians (r, 2, 2), where they are.

    `α₁ (G₁₁α₁ + G₁₂α₂) = 1 = α₂ (G₁₂α₁ + G₂₂α₂)` gives G₁₁α₁² = G₂₂α₂², hence α₁/α₂ = √(G₂₂/G₁₁), and α₁α₂
    (√(G₁₁G₂₂) + G₁₂) = 1.
    """
    given = gramians.detach().double()
    scale = torch.linalg.vector_norm(given, dim=(1, 2))
    divisor = torch.where(scale == 0, 1.0, scale)
    normal = given / divisor[:, None, None]
    first, second = normal[:, 0, 0] + _RIDGE, normal[:, 1, 1] + _RIDGE
    product = 1 / ((first * second).sqrt() + normal[:, 0, 1])
    ratio = (second / first).sqrt()
    alpha = torch.stack([(product * ratio).sqrt(), (product / ratio).sqrt()], dim=1) / divisor.sqrt().unsqueeze(1)
    alpha = torch.where((scale == 0).unsqueeze(1), 1.0, alpha)
    if max_norm is None:
        return alpha
    norm = torch.einsum("ra,rab,rb->r", alpha, given, alpha).clamp_min(0).sqrt()
    return alpha * torch.where(norm > max_norm, max_norm / norm, 1.0).unsqueeze(1)


def nash_weights(gramian: Array, max_norm: float | None = None) -> Array:
    """α > 0 with `G α = 1/α`.

    Args:
        gramian: G (m, m), positive semi-definite. All zero gives ones.
        max_norm: α is scaled down until `αᵀ G α ≤ max_norm²`.

    >>> nash_weights(np.array([[4.0, 0.0], [0.0, 0.25]])).round(4).tolist()
    [0.5, 2.0]
    """
    scale = float(np.linalg.norm(gramian))
    m = len(gramian)
    if scale == 0:
        return np.ones(m)
    g = gramian / scale + _RIDGE * np.eye(m)
    alpha = 1 / np.sqrt(g.diagonal())
    # The function is self-concordant: damped steps reach the region where full steps converge quadratically.
    for _ in range(200):
        slope = g @ alpha - 1 / alpha
        step = np.linalg.solve(g + np.diag(alpha**-2), slope)
        decrement = math.sqrt(max(0.0, float(slope @ step)))
        alpha = alpha - step / (1 if decrement < 0.25 else 1 + decrement)
        if decrement < 1e-12:
            break
    alpha = alpha / math.sqrt(scale)
    if max_norm is None:
        return np.asarray(alpha)
    norm = math.sqrt(max(0.0, float(alpha @ gramian @ alpha)))
    return np.asarray(alpha if norm <= max_norm else alpha * (max_norm / norm))
