"""A distribution of preferences that is itself optimized, so that points are even on the front."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor

from moframework.config import config, option
from moframework.preferences.adaptive import Adaptive, State, arrays
from moframework.preferences.front_model import distances, expected_losses
from moframework.preferences.sampling import Array, log_softmax
from moframework.preferences.simplex import inner_margin

__all__ = ["Optimized", "energy"]

# Distance below which points count as this far apart: two in one place have a large energy, not an infinite one.
_LEAST = 1e-3
# Of a weight whose logarithm is taken.
_TINY = 1e-6


@config
class Optimized(Adaptive):
    """A mixture of distributions around points, optimized by the cross-entropy method, after preference-optimized
    Pareto set learning (Zhang, Das, Tsuda 2024, arXiv 2408.09976).

    That work trains a model of the front and the preferences that it is trained at in two levels, the upper one by a
    differentiable cross-entropy method, so that points are even on the front. Here the upper level is the plain
    method, point by point, every `every` steps: around each point `samples` preferences are drawn, normal in their
    logarithms; the losses that are to be expected there are estimated from those of the latest steps; and mean and
    width of the point become those of the `elite` samples with the least energy, `Σ 1/d²` of the distances to the other
    points, `rounds` times.

    A preference is drawn from the distribution around one of the points, all in turn.

    >>> share = torch.linspace(0, 1, 41, dtype=torch.float64)
    >>> losses = torch.stack([(1 - share) ** 3, 1 - (1 - share) ** 3], dim=1)  # a straight front, crowded at one end
    >>> schedule, preferences = Optimized(points=3), torch.stack([share, 1 - share], dim=1)
    >>> state = schedule.adapted(schedule.initial_state(2), preferences, losses, Generator().manual_seed(0))
    >>> _, middle, _ = ((1 - state["points"][:, 0]) ** 3).tolist()  # where the points are on it
    >>> 0.3 < middle < 0.7  # that of even preferences: 0.125
    True
    """

    samples: int = option(24, ge=4, le=1000, help="preferences that are drawn around each point in a round")
    elite: int = option(6, ge=2, le=100, help="samples that the next mean and width come from")
    rounds: int = option(6, ge=1, le=100, help="rounds in an adaptation")
    width: float = option(0.3, gt=0, le=5, help="width of the distribution of a logarithm, at the start")
    least: float = option(0.02, gt=0, le=5, help="least width, so that it goes on looking")

    def initial_state(self, m: int) -> State:
        """See `Adaptive.initial_state`: `points` (k, m), and `widths` (k,)."""
        state = super().initial_state(m)
        return {**state, "widths": torch.full((len(state["points"]),), self.width, dtype=torch.float64)}

    def adapted(self, state: State, preferences: Tensor, losses: Tensor, generator: Generator) -> State:
        """See `Adaptive.adapted`."""
        tried, found = arrays(preferences, losses)
        points, widths = arrays(state["points"], state["widths"])
        span = np.ptp(found, axis=0)
        span = np.where(span > 0, span, 1.0)
        # Each adaptation looks about anew.
        widths = np.maximum(widths, self.width / 2)
        for _ in range(self.rounds):
            points, widths = self._round(points, widths, lambda at: expected_losses(at, tried, found) / span, generator)
        return {"points": torch.from_numpy(points), "widths": torch.from_numpy(widths)}

    def draw_points(self, state: State, count: int, generator: Generator) -> Tensor:
        """See `Adaptive.draw_points`."""
        points, widths = state["points"], state["widths"]
        k, m = points.shape
        rounds = [torch.randperm(k, generator=generator) for _ in range(-(-count // k))]
        of = torch.cat(rounds)[:count]
        noise = torch.randn(count, m, generator=generator, dtype=torch.float64)
        drawn = (points[of].log() + widths[of].unsqueeze(1) * noise).softmax(dim=1)
        least = inner_margin(self.margin, m)
        return least + (1 - m * least) * drawn

    def _round(
        self, points: Array, widths: Array, expected: Callable[[Array], Array], generator: Generator
    ) -> tuple[Array, Array]:
        """Points (k, m) and widths (k,) after each point has moved once, in turn."""
        k, m = points.shape
        noise = torch.randn((k, self.samples, m), generator=generator, dtype=torch.float64).numpy()
        noise[:, 0] = 0  # the point itself is among its samples
        logarithms = np.log(np.maximum(points, _TINY))[:, None] + widths[:, None, None] * noise
        logarithms = log_softmax(logarithms.reshape(-1, m)).reshape(noise.shape)
        least = inner_margin(self.margin, m)
        inner = least + (1 - m * least) * np.exp(logarithms)
        there = expected(inner.reshape(-1, m)).reshape(inner.shape)
        places, moved, spreads = there[:, 0].copy(), points.copy(), widths.copy()
        for i in range(k):
            best = np.argsort(energy(there[i], np.delete(places, i, axis=0)), kind="stable")[: self.elite]
            places[i] = there[i, best].mean(axis=0)
            moved[i] = np.exp(log_softmax(logarithms[i, best].mean(axis=0, keepdims=True)))[0]
            spreads[i] = max(float(logarithms[i, best].std(axis=0).mean()), self.least)
        return moved, spreads


def energy(points: Array, others: Array) -> Array:
    """Sum of 1/d² over the distances of points (n, m) from others (k, m), (n,): small where there is room.

    >>> energy(np.array([[0.5], [0.75]]), np.array([[0.0], [1.0]])).round(3).tolist()
    [8.0, 17.778]
    """
    return np.asarray((1 / np.maximum(distances(points, others), _LEAST) ** 2).sum(axis=1))
