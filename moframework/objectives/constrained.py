"""Bounds on losses that hold whatever the preference: how much of each step goes to them is learned for every λ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
from attrs import frozen
from torch import Tensor, nn

from moframework.config import config, option
from moframework.constants import constant
from moframework.errors import SpecError
from moframework.objectives.base import Aggregation, Objective, Scalarization, Weighting
from moframework.objectives.presence import present
from moframework.pareto.conditions import Condition

__all__ = ["Bound", "ConstrainedScalarization", "ConstrainedWeighting", "constrain", "read_bounds"]

# The most of a step that goes to bounds: what is left keeps the objective alive where nothing meets them.
_MOST = 0.98
# Change of a share in a step whose losses miss the bound by as much as the bound itself; what a miss adds to it at once;
# and the miss beyond which it changes by a small part of that only.
_RATE, _AT_ONCE, _FAR, _SLOWLY = 0.05, 0.5, 0.5, 0.02
# Share of a bound that losses stay away from it: what they vary by from one validation to the next.
_MARGIN = 0.03
# Share of the newest loss in running means, at the point of the grid that it belongs to.
_NEWEST = 0.1


@frozen
class Bound:
    """`sign` times the loss of a task (by number) is to be at most `sign` times `value`: +1 from above, −1 from
    below."""

    task: int
    sign: float
    value: float

    def excess(self, losses: Tensor) -> Tensor:
        """By how much losses (..., m) miss it, with a margin, over the size of the bound, from −1 to 1."""
        scale = abs(self.value) if self.value else 1.0
        return (self.sign * (losses[..., self.task] - self.value) / scale + _MARGIN).clamp(-1, 1)


def constrain(objective: Objective, constraints: Mapping[str, str], tasks: Sequence[str], points: Tensor) -> Objective:
    """`objective` under constraints; itself where there are none.

    Args:
        constraints: by column, what a spec says: `{"left/loss": "<= 0.3"}`; several of a column with commas between.
        tasks: names of the m tasks.
        points: preferences (n, m) at which it is learned how much the bounds take; between them it is interpolated.

    Raises:
        SpecError: a constraint cannot be read, is not of a loss, or does not go with the objective.
    """
    if not constraints:
        return objective
    given: dict[str, Any] = {
        "inner": objective,
        "bounds": read_bounds(constraints, tasks),
        "points": tuple(map(tuple, points.tolist())),
    }
    if isinstance(objective, Scalarization):
        return ConstrainedScalarization(**given)
    if isinstance(objective, Weighting):
        return ConstrainedWeighting(**given)
    raise SpecError(
        f"solver.constraints: {type(objective).__name__} makes a direction from gradients, with which constraints do "
        "not go; use a scalarization or a weighting"
    )


def read_bounds(constraints: Mapping[str, str], tasks: Sequence[str]) -> tuple[Bound, ...]:
    """What a spec's `constraints` say.

    >>> read_bounds({"right/loss": "<= 0.3, >= 0.1"}, ["left", "right"])
    (Bound(task=1, sign=1.0, value=0.3), Bound(task=1, sign=-1.0, value=0.1))

    Raises:
        SpecError: one cannot be read, or is not of a loss.
    """
    columns = [f"{task}/loss" for task in tasks]
    found, faults = [], []
    for column, texts in constraints.items():
        for text in texts.split(","):
            try:
                condition = Condition.read(f"{column} {text.strip()}", columns)
            except ValueError as error:
                faults.append(f"solver.constraints: {error}; only losses have the gradients that constraints need")
                continue
            value, sign = condition.bound, 1.0 if condition.sign[0] == "<" else -1.0
            if condition.sign == "=" or abs(value) == float("inf"):
                faults.append(f"solver.constraints: '{condition}' is no bound: write <= or >= and a number")
            found.append(Bound(columns.index(condition.column), sign, value))
    if faults:
        raise SpecError("\n".join(faults))
    return tuple(found)


class _Shares(nn.Module):
    """What is known at each of n points: shares of a step (n, k), running means of training losses (n, m) and how often
    they were seen (n, m), and by how much validation losses were above these (n, m)."""

    points: Tensor
    shares: Tensor
    means: Tensor
    seen: Tensor
    gaps: Tensor

    def __init__(self, points: Tensor, k: int) -> None:
        super().__init__()
        n, m = points.shape
        self.register_buffer("points", points, persistent=False)
        self.register_buffer("shares", torch.zeros(n, k))
        for name in ("means", "seen", "gaps"):
            self.register_buffer(name, torch.zeros(n, m))
        between = torch.cdist(points, points).masked_fill(torch.eye(n, dtype=torch.bool), torch.inf)
        self.width = float(between.min()) / 2 if n > 1 else 1.0

    def near(self, preferences: Tensor) -> Tensor:
        """How much each point counts for each preference, (r, n), rows summing to 1."""
        distances = torch.cdist(preferences.to(self.points), self.points)
        return (-0.5 * (distances / self.width) ** 2).softmax(dim=1)


class _Constrained(Objective):
    """What both forms share: options, the state and how it moves.

    With p_k(λ) the share of constraint k, a step descends `(1 − Σ_k p_k) inner + Σ_k p_k s_k L_t(k)`, which for
    multipliers ν_k = p_k / (1 − Σp) is the Lagrangian over 1 + Σν. Shares are a function of λ: they rise while running
    means of losses miss a bound, and fall to 0 while they keep it, at the points nearest to the preferences of a step.
    That is dual ascent with a term for the miss itself (after the PID Lagrangian of Stooke, Achiam, Abbeel, ICML 2020);
    little adds up while losses are far from the bound. Training losses are taken with what validation losses were
    above them (as in Cotter et al., ICML 2019, multipliers go by data that the weights do not see), so that the bound
    holds there. Without validation (`evaluate.every: 0`) they are taken alone.
    """

    separable: ClassVar[bool] = False
    inner: Objective
    bounds: tuple[Bound, ...]
    points: tuple[tuple[float, ...], ...]

    @property
    def reviews(self) -> bool:
        """As the inner objective."""
        return self.inner.reviews

    def faults(self, m: int, r: int) -> list[str]:
        """Those of the inner objective."""
        return self.inner.faults(m, 1 if self.inner.separable else r)

    def build(self, m: int, r: int) -> nn.Module:
        """Shares, and the states of the inner objective: one a preference where that is separable."""
        counts = [1] * r if self.inner.separable else [r]
        states = [state for state in (self.inner.build(m, count) for count in counts) if state is not None]
        made = nn.Module()
        made.own = _Shares(torch.tensor(self.points), len(self.bounds))
        made.inner = nn.ModuleList(states)
        return made

    def review(self, before: Tensor, after: Tensor, state: nn.Module | None) -> None:
        """Handed to the inner objective."""
        for rows, own in self._rows(len(before), state):
            self.inner.review(before[rows], after[rows], own)

    def epoch_ended(self, state: nn.Module | None) -> None:
        """Handed to the inner objective."""
        for own in cast(Any, state).inner:
            self.inner.epoch_ended(own)

    @torch.no_grad()
    def validated(self, losses: Tensor, preferences: Tensor, state: nn.Module | None) -> None:
        """See `Objective.validated`: how much larger losses are than in training, where both are known."""
        own = cast(_Shares, cast(Any, state).own)
        near = own.near(preferences)
        known = near.T @ losses.to(own.means) / near.sum(dim=0).clamp_min(1e-12).unsqueeze(1)
        there = (own.seen > 0) & (near.sum(dim=0) > 0.1).unsqueeze(1)
        own.gaps.copy_(torch.where(there, known - own.means, own.gaps))

    @torch.no_grad()
    def moved_shares(self, losses: Tensor, preferences: Tensor, state: nn.Module | None) -> Tensor:
        """Shares (r, k) of the constraints in a step that saw losses (r, m), which the state learns from."""
        own = cast(_Shares, cast(Any, state).own)
        near, known = own.near(preferences), present(losses) & torch.isfinite(losses)
        safe = torch.where(known, losses, 0.0).to(own.means)
        counts = near.T @ known.to(near)
        newest = near.T @ safe / counts.clamp_min(1e-12)
        pace = torch.where(own.seen > 0, _NEWEST * counts.clamp(max=1), (counts > 1e-3).to(counts))
        own.means.lerp_(newest, pace)
        own.seen.add_(counts * (counts > 1e-3))
        expected = torch.where(own.seen > 0, own.means + own.gaps, torch.nan)
        excess = torch.stack([bound.excess(expected) for bound in self.bounds], dim=1).nan_to_num()
        # Far from a bound little adds up: early in a training all losses are, whatever their shares.
        weights = near.sum(dim=0).unsqueeze(1) * (len(own.points) / len(near))
        own.shares.add_(_RATE * weights * torch.where(excess.abs() <= _FAR, excess, _SLOWLY * excess)).clamp_(0, _MOST)
        asked = (own.shares + _AT_ONCE * torch.where(excess.abs() <= _FAR, excess, 0.0)).clamp(min=0)
        asked = asked / (asked.sum(dim=1, keepdim=True) / _MOST).clamp_min(1)
        return (near @ asked).to(losses)

    def _rows(self, r: int, state: nn.Module | None) -> list[tuple[slice, nn.Module | None]]:
        """Rows that the inner objective sees at once, with its state for them."""
        states = cast(Any, state).inner
        if not self.inner.separable:
            return [(slice(0, r), states[0] if len(states) else None)]
        return [(slice(j, j + 1), states[j] if len(states) else None) for j in range(r)]

    def _directions(self, like: Tensor) -> Tensor:
        """s_k at t(k), (k, m)."""
        m = like.shape[1]
        entries = tuple(bound.sign if t == bound.task else 0.0 for bound in self.bounds for t in range(m))
        return constant(entries, like.device, like.dtype).view(-1, m)


@config
class ConstrainedScalarization(_Constrained, Scalarization):
    """A scalarization under bounds on losses, as `solver.constraints` makes it; see `constrain`.

    For each preference λ the scalar of the inner objective is minimized where `s_k L_t(k) ≤ s_k b_k`, by dual ascent on
    multipliers that depend on λ. Limits: only losses, since metrics have no gradients; what no weights meet is missed
    by as little as can be; all preferences of a step go backward together.
    """

    inner: Scalarization = option(help="what is minimized where the bounds hold")
    bounds: tuple[Any, ...] = option(help="the bounds")
    points: tuple[tuple[float, ...], ...] = option(help="preferences at which shares are learned")

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Scalarization.__call__`; without balancing."""
        return self.total(losses, preferences, None, state)

    def total(
        self, losses: Tensor, preferences: Tensor, scales: Tensor | None = None, state: nn.Module | None = None
    ) -> Tensor:
        """See `Scalarization.total`. Bounds are of the losses as they are; what is descended for them is scaled as the
        inner objective sees it."""
        shares = self.moved_shares(losses.detach(), preferences, state)
        scaled = losses if scales is None else losses * scales
        toward = (shares @ self._directions(losses) * scaled).sum(dim=1)
        left, r, total = 1 - shares.sum(dim=1), len(losses), toward.mean()
        for rows, own in self._rows(r, state):
            inner = self.inner.total(losses[rows], preferences[rows], None if scales is None else scales[rows], own)
            total = total + inner * left[rows].sum() / r
        return total


@config
class ConstrainedWeighting(_Constrained, Weighting):
    """A weighting under bounds on losses, as `solver.constraints` makes it; see `constrain`.

    As `ConstrainedScalarization`, for objectives that go by the gradients of single tasks: their weights, scaled to
    absolute values that add up to 1, share the step with the bounds.
    """

    inner: Weighting = option(help="what is descended where the bounds hold")
    bounds: tuple[Any, ...] = option(help="the bounds")
    points: tuple[tuple[float, ...], ...] = option(help="preferences at which shares are learned")

    def weights(self, losses: Tensor, preferences: Tensor, gramians: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Weighting.weights`."""
        shares = self.moved_shares(losses, preferences, state)
        rows = []
        for part, own in self._rows(len(losses), state):
            extra = () if own is None else (own,)
            rows.append(self.inner.weights(losses[part], preferences[part], gramians[part], *extra))
        inner = torch.cat(rows)
        size = inner.abs().sum(dim=1, keepdim=True)
        return (1 - shares.sum(dim=1, keepdim=True)) * inner + size * (shares @ self._directions(losses))
