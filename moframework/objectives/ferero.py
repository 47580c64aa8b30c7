"""FERERO: descent of all losses with the ray of the preference as an equality."""

from __future__ import annotations

import itertools
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from moframework.config import config, option
from moframework.objectives.base import Weighting
from moframework.objectives.gramian import unit_scale
from moframework.objectives.host import onto_simplex
from moframework.objectives.pmgda import of_present
from moframework.objectives.rays import Direction, rays

__all__ = ["FERERO", "ferero_step", "ferero_weights"]

Array = NDArray[np.float64]

# Below this share of the largest, a curvature of the program is rounding of a Gramian in float32.
_ROUNDING = 1e-6


@config
class FERERO(Weighting):
    """Preference-guided multi-objective learning with the ray as an equality, on concave fronts too (Chen, Saif, Shen,
    Chen, NeurIPS 2024).

    The losses are on the ray u where B L = 0, with rows of B at right angles to u. The step d = ∇F w has weights
    w = a + Bᵀz from the program

        min over a ∈ Δ, z of  ½ ‖∇F (a + Bᵀz)‖² − ½ zᵀB L,

    after which B L decays by half its size times the learning rate, and what is left descends. So a weight may be
    negative: a task may be ascended to reach the ray. Weights are divided by Σ_t |w_t|, as released. `steps: none`
    solves the program exactly, as in the authors' toy experiments to convergence; `steps: 1` with `rate: 1e-5` is their
    single loop for networks, which takes so many projected gradient steps on (a, z) at each step of the training and
    keeps them.

    Limits: reads losses and Gramians on the host in every step. The released single loop takes d from another half of
    the batch than the losses (double sampling), where here both are of one batch, and by an assignment its a starts
    anew from equal weights at each step, where here it is kept, as in the paper. Cones other than that of dominance
    and inequalities are not offered. Tasks whose losses differ in size want a balancing
    first, or the ray means little.

    >>> losses, gramians = torch.tensor([[1.0, 3.0]]), torch.eye(2).unsqueeze(0)
    >>> FERERO().weights(losses, torch.tensor([[0.75, 0.25]]), gramians)  # on the ray: down along it
    tensor([[0.2500, 0.7500]])
    >>> FERERO().weights(losses, torch.tensor([[0.5, 0.5]]), gramians)  # L_2 has to fall
    tensor([[0., 1.]])
    """

    steps: int | None = option(
        None, ge=1, le=10_000, help="projected gradient steps on the multipliers in each step; none: solve exactly"
    )
    rate: float = option(1e-5, gt=0, help="size γ of these steps")
    direction: Direction = option(
        "inverse",
        help="inverse: the ray is 1/λ, so that a larger λ_t means a smaller loss; preference: the ray is λ, as "
        "published, so that it means a larger one",
    )

    def build(self, m: int, r: int) -> nn.Module | None:
        """The multipliers of the single loop; None where the program is solved."""
        return None if self.steps is None else _Multipliers(r, m)

    def weights(self, losses: Tensor, preferences: Tensor, gramians: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Weighting.weights`; absolute values of a row sum to 1."""
        host = [each.detach().double().cpu().numpy() for each in (losses, rays(preferences, self.direction), gramians)]
        rows = [self._row(host[0][j], host[1][j], host[2][j], state, j) for j in range(len(losses))]
        return torch.as_tensor(np.stack(rows)).to(losses)

    def _row(self, losses: Array, ray: Array, gramian: Array, state: nn.Module | None, j: int) -> Array:
        if not (np.isfinite(losses).all() and np.isfinite(gramian).all()):
            return np.full_like(losses, np.nan)
        if self.steps is None:
            return of_present(ferero_weights)(losses, ray, gramian)
        multipliers = cast(_Multipliers, state)
        a, h = (each[j].cpu().numpy() for each in (multipliers.of_losses, multipliers.of_ray))
        for _ in range(self.steps):
            a, h = ferero_step(a, h, losses, ray, gramian, self.rate)
        multipliers.of_losses[j], multipliers.of_ray[j] = torch.as_tensor(a), torch.as_tensor(h)
        return _normalized(a + h)


class _Multipliers(nn.Module):
    """a and Bᵀz of every preference (r, m)."""

    of_losses: Tensor
    of_ray: Tensor

    def __init__(self, r: int, m: int) -> None:
        super().__init__()
        self.register_buffer("of_losses", torch.full((r, m), 1 / m, dtype=torch.float64))
        self.register_buffer("of_ray", torch.zeros(r, m, dtype=torch.float64))


def ferero_weights(losses: Array, ray: Array, gramian: Array) -> Array:
    """The weights (m,) of one exact step, Σ_t |w_t| = 1.

    For given a the best z solves K z = ½ B L − B G a with K = B G Bᵀ, which leaves
    `min over a ∈ Δ of ½ aᵀ S a + qᵀ a` with S = G − G Bᵀ K⁺ B G and q = ½ G Bᵀ K⁺ B L. Where K has an inverse, S is a
    multiple of u uᵀ: for each value of u·a a linear program, so that the least is on an edge of the simplex, and each
    edge is a parabola. Directions that no gradient can move are left out (K⁺ is a pseudoinverse); the edges are then
    the whole simplex for two tasks, else what is searched.

    Args:
        losses: L (m,).
        ray: u (m,), of length 1.
        gramian: G (m, m), inner products of the gradients.

    >>> ferero_weights(np.array([1.0, 1.0]), np.array([1.0, 1.0]) / np.sqrt(2), np.eye(2)).round(6).tolist()
    [0.5, 0.5]
    """
    m = len(losses)
    mean = float(np.trace(gramian)) / m
    if mean <= 0:
        return np.full(m, 1 / m)
    g = unit_scale(gramian)
    across = np.linalg.svd(ray[None])[2][1:]  # B: an orthonormal basis at right angles to u
    curvature = np.linalg.pinv(across @ g @ across.T, rcond=_ROUNDING, hermitian=True)
    off = across @ losses / mean
    s = g - g @ across.T @ curvature @ across @ g
    q = 0.5 * g @ across.T @ curvature @ off
    a = _least_on_edges(s, q)
    return _normalized(a + across.T @ (curvature @ (0.5 * off - across @ g @ a)))


def _least_on_edges(s: Array, q: Array) -> Array:
    """argmin of ½ aᵀ S a + qᵀ a over the edges of the simplex; the middle of those that are equal."""
    best, found = np.inf, np.full(len(q), 1 / len(q))
    for i, j in itertools.combinations(range(len(q)), 2):
        bend = s[i, i] - 2 * s[i, j] + s[j, j]
        slope = s[i, j] - s[j, j] + q[i] - q[j]
        share = float(np.clip(-slope / bend, 0, 1)) if bend > _ROUNDING else 0.5 - 0.5 * np.sign(slope)
        a = np.zeros(len(q))
        a[i], a[j] = share, 1 - share
        value = float(0.5 * a @ s @ a + q @ a)
        if value < best - 1e-12:
            best, found = value, a
    return found


def ferero_step(
    a: Array, h: Array, losses: Array, ray: Array, gramian: Array, rate: float = 1e-5
) -> tuple[Array, Array]:
    """One step of the single loop: `a ← Π_Δ(a − γ G w)`, `h ← h − γ P (G w − ½ L)`, w = a + h, h = Bᵀz and
    P = BᵀB = I − u uᵀ.

    >>> even, second = np.full(2, 0.5), np.array([0.0, 1.0])
    >>> a, h = ferero_step(even, np.zeros(2), np.array([2.0, 0.0]), second, np.eye(2), rate=0.1)
    >>> a.round(6).tolist(), h.round(6).tolist()
    ([0.5, 0.5], [0.05, 0.0])
    """
    moved = gramian @ (a + h)
    off = moved - 0.5 * losses
    return onto_simplex(a - rate * moved), h - rate * (off - (off @ ray) * ray)


def _normalized(weights: Array) -> Array:
    total = float(np.abs(weights).sum())
    return weights / total if total > 0 else np.full_like(weights, 1 / len(weights))
