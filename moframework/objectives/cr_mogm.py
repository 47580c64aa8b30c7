"""CR-MOGM: weights of another method, smoothed over the steps."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.objectives.base import Weighting
from moframework.objectives.from_torchjd import MGDA
from moframework.objectives.presence import StateByTask, unknown_of

__all__ = ["CRMOGM"]


@config
class CRMOGM(Weighting):
    """Correlation-reduced stochastic multi-objective gradient manipulation (Zhou et al., NeurIPS 2022): the running
    mean `w ← α w + (1 − α) ŵ` of the weights ŵ that another weighting finds, which starts at the first of them.

    Weights that are found from the gradients of a step depend on its noise, so that the direction is off on average;
    the more slowly they move, the less. α is constant here; the paper lets it rise as the learning rate falls.

    What is smoothed is ŵ_t / (m λ_t), so that preferences that change from step to step are not mixed; where λ_t is 0
    it stays. Limits: `inner` must be a weighting; one whose weights are not in proportion to λ_t, such as
    `aligned_mtl`, is better smoothed with preferences that stay (`single`, `multipoint`).

    >>> from moframework.objectives.nash_mtl import NashMTL
    >>> objective = CRMOGM(inner=NashMTL(max_norm=None), alpha=0.5)
    >>> losses, preferences = torch.ones(1, 2), torch.tensor([[0.5, 0.5]])
    >>> state, gramians = objective.build(m=2, r=1), torch.tensor([[[1.0, 0.0], [0.0, 4.0]]])
    >>> objective.weights(losses, preferences, gramians, state)  # at first those of `inner`
    tensor([[1.0000, 0.5000]])
    >>> objective.weights(losses, preferences, gramians.flip(1, 2), state)  # halfway to (½, 1)
    tensor([[0.7500, 0.7500]])
    """

    inner: Weighting = option(factory=MGDA, help="the weighting that is smoothed")
    alpha: float = option(0.9, ge=0, lt=1, help="share α of the weights so far; 0: the inner weighting itself")

    @property
    def reviews(self) -> bool:
        """As the inner objective."""
        return self.inner.reviews

    @property
    def needs_halves(self) -> bool:
        """As the inner objective."""
        return self.inner.needs_halves

    def faults(self, m: int, r: int) -> list[str]:
        """Those of the inner objective."""
        own = [] if self.inner.separable else ["inner: must treat each preference alone"]
        return own + [f"inner: {fault}" for fault in self.inner.faults(m, r)]

    def build(self, m: int, r: int) -> nn.Module:
        """The smoothed weights (r, m), and the state of the inner objective."""
        return _State(r, m, self.inner.build(m, r))

    def review(self, before: Tensor, after: Tensor, state: nn.Module | None) -> None:
        """Handed to the inner objective."""
        self.inner.review(before, after, cast(_State, state).inner)

    def progressed(self, progress: float, state: nn.Module | None) -> None:
        """Handed to the inner objective."""
        self.inner.progressed(progress, cast(_State, state).inner)

    def epoch_ended(self, state: nn.Module | None) -> None:
        """Handed to the inner objective."""
        self.inner.epoch_ended(cast(_State, state).inner)

    def weights(self, losses: Tensor, preferences: Tensor, gramians: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Weighting.weights`; changes the state, but for tasks that a batch has no label of and for numbers that
        are not finite."""
        own = cast(_State, state)
        extra = () if own.inner is None else (own.inner,)
        found = self.inner.weights(losses, preferences, gramians, *extra)
        known = ~unknown_of(losses, gramians)
        factor = losses.shape[1] * preferences
        ratio = found / torch.where(factor > 0, factor, 1.0)
        moves = known & (factor > 0) & ratio.isfinite()
        smoothed = torch.where(own.seen, own.ratios + (1 - self.alpha) * (ratio - own.ratios), ratio)
        own.ratios.copy_(torch.where(moves, smoothed, own.ratios))
        own.seen.logical_or_(moves)
        # 0 times what was found, so that what is not finite stays so.
        return torch.where(moves, factor * own.ratios, found * known) + 0 * found


class _State(StateByTask):
    """Weights over m λ (r, m), which of them there are yet, and the inner objective's state."""

    ratios: Tensor
    seen: Tensor

    def __init__(self, r: int, m: int, inner: nn.Module | None) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("ratios", torch.zeros(r, m))
        self.register_buffer("seen", torch.zeros(r, m, dtype=torch.bool))
