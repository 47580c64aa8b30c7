"""Multi-forward regularization: losses in the order that preferences ask for."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.objectives.base import Scalarization, inner_faults
from moframework.objectives.linear import Linear
from moframework.objectives.presence import present

__all__ = ["MultiForward", "order_violation"]

Sign = Literal["intended", "published"]


@config
class MultiForward(Scalarization):
    """A scalarization plus a penalty on losses that are not in the order of the preferences (PaMaL, ICML 2023, arXiv
    2210.09759, Eq. 3), `(Σ_j inner_j + c R) / r`.

    For each task the r preferences are sorted by λ_t; of two neighbors the one with the larger λ_t should have the
    smaller loss: `R = Σ_t log( 1/(r−1) Σ_pairs exp([L_t(larger λ_t) − L_t(smaller λ_t)]_+) )`. The printed equation
    and the released code have the opposite sign; `sign: published` reproduces them. R sees the losses as they are,
    before any balancing. PaMaL sums over preferences where this takes means: c has the weight of the paper relative to
    the losses.

    >>> losses, preferences = torch.tensor([[1.0, 3.0], [2.0, 2.0]]), torch.tensor([[0.75, 0.25], [0.25, 0.75]])
    >>> float(MultiForward().total(losses, preferences))  # in order: Σ_t λ_t L_t alone
    1.75
    >>> float(MultiForward(coefficient=1.0).total(losses, preferences.flip(0)))  # 2.25, and 1 for each task over r = 2
    3.25
    """

    separable: ClassVar[bool] = False
    inner: Scalarization = option(factory=Linear, help="how each preference's losses become one scalar")
    coefficient: float = option(1.0, ge=0, help="weight c of the penalty")
    sign: Sign = option(
        "intended", help="intended: the wrong order is penalized; published: the right one is, as printed and released"
    )

    @property
    def reviews(self) -> bool:
        """As the inner objective."""
        return self.inner.reviews

    def faults(self, m: int, r: int) -> list[str]:
        """See `Objective.faults`."""
        own = ["compares the preferences of a step: preferences.per_batch must be at least 2"] if r < 2 else []
        return own + inner_faults(self.inner, m, r)

    def build(self, m: int, r: int) -> nn.Module | None:
        """The state of the inner objective."""
        return self.inner.build(m, r)

    def review(self, before: Tensor, after: Tensor, state: nn.Module | None) -> None:
        """Handed to the inner objective."""
        self.inner.review(before, after, state)

    def epoch_ended(self, state: nn.Module | None) -> None:
        """Handed to the inner objective."""
        self.inner.epoch_ended(state)

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        """The inner objective."""
        return self.inner(losses, preferences) if state is None else self.inner(losses, preferences, state)

    def penalty(self, losses: Tensor, preferences: Tensor) -> Tensor | None:
        """c R / r, plus the penalty of the inner objective."""
        own = self.coefficient / len(losses) * order_violation(losses, preferences, self.sign)
        inner = self.inner.penalty(losses, preferences)
        return own if inner is None else own + inner


def order_violation(losses: Tensor, preferences: Tensor, sign: Sign = "intended") -> Tensor:
    """R of `MultiForward`, a scalar, at least 0; 0 when all losses are in order, and for a single preference.

    Args:
        losses: L (r, m).
        preferences: Λ (r, m). Preferences with an equal λ_t have no order in task t; nor have neighbors of which one
            has no sample with a label of it.
        sign: `intended` or `published`.

    >>> from torch import tensor
    >>> preferences = tensor([[0.9, 0.1], [0.5, 0.5], [0.1, 0.9]])
    >>> float(order_violation(tensor([[0.1, 0.3], [0.3, 0.2], [0.9, 0.1]]), preferences))
    0.0
    """
    r = len(losses)
    if r < 2:
        return torch.zeros_like(losses.sum())
    ranked, order = preferences.sort(dim=0, descending=True, stable=True)
    ordered = losses.gather(0, order)
    rise = -ordered.diff(dim=0)  # (r−1, m): loss at the larger λ_t minus loss at the smaller
    if sign == "published":
        rise = -rise
    known = present(ordered)
    rise = rise.relu() * ((ranked.diff(dim=0) < 0) & known[1:] & known[:-1])
    # The mean is at least 1: its logarithm is 0 when nothing is wrong.
    return rise.exp().mean(dim=0).log().sum()
