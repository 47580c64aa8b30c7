"""PMGDA: the point of the front on the ray of the preference, by steps that correct and steps that descend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.special import xlogy
from torch import Tensor, nn

from moframework.config import config, option
from moframework.objectives.base import Weighting
from moframework.objectives.gramian import min_norm_weights, unit_scale
from moframework.objectives.host import solved_on_host
from moframework.objectives.rays import Direction, rays

__all__ = ["PMGDA", "Measure", "of_present", "off_ray", "pmgda_weights"]

Array = NDArray[np.float64]
Measure = Literal["distance", "cosine", "divergence"]

# Keeps logarithms of shares finite, as released.
_LEAST_SHARE = 1e-3


@config
class PMGDA(Weighting):
    """Preference-based multiple-gradient descent: the point of the front on the ray of the preference, on concave
    fronts too (Zhang, Lin, Zhang, 2024, arXiv 2402.09492).

    How far the losses are off the ray u is `h(L) = ‖L − (L·u) u‖`. While h is above the tolerance, a linear program
    (Eq. 20) looks for a direction in which h falls by σ of its steepest descent, and the losses rise as little as
    possible; else the step is that of MGDA. Directions are convex combinations of gradients of length 1, so that the
    size of a gradient does not matter. Defaults are those of the released configuration (LibMOON), which go before the
    0.1 and 1e-3 in its constructor.

    Limits: reads losses and Gramians on the host in every step, where each preference costs a linear program of m + 2
    unknowns. Far from the ray all steps correct and few descend; tasks whose losses differ in size want a balancing
    first, or the ray means little. The angle that a training ends at is `Front.angles`.

    >>> import torch
    >>> losses, gramians = torch.tensor([[1.0, 3.0]]), torch.eye(2).unsqueeze(0)
    >>> PMGDA().weights(losses, torch.tensor([[0.75, 0.25]]), gramians)  # on the ray: as MGDA
    tensor([[0.5000, 0.5000]])
    >>> PMGDA().weights(losses, torch.tensor([[0.5, 0.5]]), gramians).sign()  # off the ray: L_1 up, L_2 down
    tensor([[-1.,  1.]])
    """

    sigma: float = option(
        0.95, ge=0, lt=1, help="share σ of its steepest descent that h falls by in a step that corrects"
    )
    tolerance: float = option(0.01, gt=0, help="how far off the ray counts as on it, in the unit of the measure")
    measure: Measure = option(
        "distance",
        help="distance: of the losses from the ray; cosine: 1 minus the cosine of their angle; divergence: the "
        "symmetric Kullback–Leibler divergence of their shares",
    )
    direction: Direction = option(
        "inverse",
        help="inverse: the ray is 1/λ, so that a larger λ_t means a smaller loss; preference: the ray is λ, as "
        "published, so that it means a larger one",
    )

    def weights(self, losses: Tensor, preferences: Tensor, gramians: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Weighting.weights`; not scaled: a step that corrects has about the length 1, one of MGDA that of a
        gradient."""

        def solve(row: Array, ray: Array, gramian: Array) -> Array:
            value, slope = off_ray(row, ray, self.measure)
            return pmgda_weights(gramian, slope, value, self.tolerance, self.sigma)

        return solved_on_host(of_present(solve), losses, losses, rays(preferences, self.direction), gramians)


def of_present(solve: Callable[[Array, Array, Array], Array]) -> Callable[[Array, Array, Array], Array]:
    """`solve` for the tasks that the batch has labels of, on the ray among these; 0 for the others."""

    def solved(losses: Array, ray: Array, gramian: Array) -> Array:
        kept = (losses != 0) | (gramian.diagonal() != 0)
        weights = np.zeros_like(losses)
        length = float(np.linalg.norm(ray[kept]))
        if kept.sum() > 1 and length > 0:
            weights[kept] = solve(losses[kept], ray[kept] / length, gramian[np.ix_(kept, kept)])
        else:
            weights[kept] = 1.0 / max(1, kept.sum())
        return weights

    return solved


def off_ray(losses: Array, ray: Array, measure: Measure = "distance") -> tuple[float, Array]:
    """How far losses L (m,) are off the ray u (m,), of length 1: h(L) and its gradient ∂h/∂L (m,).

    `distance` is ‖L − (L·u) u‖, `cosine` 1 − L·u / ‖L‖, `divergence` Σ_t (q_t − v_t) log(q_t / v_t) of the shares q
    of L, clipped at 1e-3 as released, and those of u.

    >>> value, slope = off_ray(np.array([3.0, 1.0]), np.array([1.0, 1.0]) / np.sqrt(2))
    >>> round(value, 6), slope.round(6).tolist()
    (1.414214, [0.707107, -0.707107])
    """
    tiny = np.finfo(np.float64).tiny
    if measure == "distance":
        beside = losses - (losses @ ray) * ray
        value = float(np.linalg.norm(beside))
        return value, beside / max(value, tiny)
    if measure == "cosine":
        length = max(float(np.linalg.norm(losses)), tiny)
        cosine = float(losses @ ray) / length
        return 1 - cosine, (cosine * losses / length - ray) / length
    total = losses.sum()
    shares, wanted = losses / total, (ray / ray.sum()).clip(min=_LEAST_SHARE)
    clipped = shares.clip(min=_LEAST_SHARE)
    value = float((xlogy(clipped, clipped / wanted) + xlogy(wanted, wanted / clipped)).sum())
    by_share = np.where(shares > _LEAST_SHARE, np.log(clipped / wanted) + 1 - wanted / clipped, 0.0)
    return value, (by_share - by_share @ shares) / total


def pmgda_weights(
    gramian: Array, slope: Array, value: float, tolerance: float = 0.01, sigma: float = 0.95, added: float = 0.0
) -> Array:
    """The weights of one step of PMGDA.

    With E the Gramian of the gradients of the m losses and of h, E = T G Tᵀ for T = [I; ∂h/∂L], n the lengths on its
    diagonal and C = E diag(1/n): the μ on the simplex for which `max_t −(Cμ)_t` is least under `(Cμ)_h ≥ σ n_h`. The
    weights of the losses are `μ_t / n_t + (μ_h / n_h) ∂h/∂L_t`. Where `value` is below the tolerance, or nothing that
    the gradients reach changes h, the weights are MGDA's, on the simplex.

    Args:
        gramian: G (m, m), inner products of the gradients of the losses.
        slope: ∂h/∂L (m,).
        value: h.
        tolerance, sigma: as of `PMGDA`.
        added: to the lengths in C; the released code adds 1e-4, with which nothing corrects where gradients are
            shorter than that.

    >>> slope = np.array([1.0, -1.0]) / np.sqrt(2)
    >>> pmgda_weights(np.eye(2), slope, 0.0).round(6).tolist()
    [0.5, 0.5]
    """
    lift = np.vstack([np.eye(len(gramian)), slope])
    mean = float(np.trace(gramian)) / len(gramian)
    extended = lift @ unit_scale(gramian) @ lift.T
    lengths = np.sqrt(extended.diagonal().clip(min=0))
    if value < tolerance or lengths[-1] <= 1e-9:
        return min_norm_weights(gramian)
    unit = np.sqrt(mean)
    safe = np.where(lengths > 0, lengths, 1.0)
    products = extended / (safe + added / unit)
    m = len(gramian)
    # Unknowns μ (m + 1,) and c: minimize c.
    found = linprog(
        np.append(np.zeros(m + 1), 1.0),
        A_ub=np.hstack([-products, -np.append(np.ones(m), 0.0)[:, None]]),
        b_ub=np.append(np.zeros(m), -sigma * lengths[-1]),
        A_eq=np.append(np.ones(m + 1), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * (m + 1) + [(None, None)],
        method="highs",
    )
    share = found.x[:-1] if found.x is not None else np.append(np.zeros(m), 1.0)
    share = np.where(lengths > 0, share / safe, 0.0) / unit
    return np.asarray(share[:-1] + share[-1] * slope)
