"""Dynamic weight average: tasks that fall slowly weigh more."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.objectives.base import Scalarization
from moframework.objectives.presence import StateByTask, present

__all__ = ["DWA"]


@config
class DWA(Scalarization):
    """Dynamic weight average (Liu, Johns, Davison, CVPR 2019): `mean_j Σ_t λ_jt w_t L_jt` with
    `w = m softmax(q / T)`, q_t the mean loss of the last epoch over that of the one before.

    For the first two epochs w is 1: linear scalarization. Losses are expected to keep their sign. An epoch's mean is
    that over the batches with labels of the task; an epoch without any keeps the means as they are.

    >>> objective, preferences = DWA(temperature=2.0), torch.tensor([[0.5, 0.5]])
    >>> state = objective.build(m=2, r=1)
    >>> for losses in (torch.tensor([[4.0, 4.0]]), torch.tensor([[2.0, 4.0]])):
    ...     _ = objective(losses, preferences, state)
    ...     objective.epoch_ended(state)
    >>> round(float(objective(torch.tensor([[1.0, 3.0]]), preferences, state)), 4)  # w = 2 softmax(½ / 2, 1 / 2)
    2.1244
    """

    temperature: float = option(2.0, gt=0, help="temperature T; large makes the weights more even")

    def build(self, m: int, r: int) -> nn.Module:
        """Mean losses of the last epochs."""
        return _Epochs(r, m)

    def epoch_ended(self, state: nn.Module | None) -> None:
        """Close the epoch's mean."""
        cast(_Epochs, state).close()

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Scalarization.__call__`. Adds the losses to the mean of the epoch."""
        epochs = cast(_Epochs, state)
        weights = losses.shape[1] * (epochs.rates() / self.temperature).softmax(dim=1)
        epochs.add(losses.detach())
        return (preferences * weights * losses).sum(dim=1).mean()


class _Epochs(StateByTask):
    """Sums and numbers of steps of the epoch that runs, means of the two before, and how many epochs there were, (r, m)
    each."""

    total: Tensor
    steps: Tensor
    last: Tensor
    older: Tensor
    epochs: Tensor

    def __init__(self, r: int, m: int) -> None:
        super().__init__()
        for name in ("total", "last", "older"):
            self.register_buffer(name, torch.zeros(r, m))
        for name in ("steps", "epochs"):
            self.register_buffer(name, torch.zeros(r, m, dtype=torch.int64))

    def add(self, losses: Tensor) -> None:
        self.total += losses
        self.steps += present(losses)

    def close(self) -> None:
        seen = self.steps > 0
        self.older.copy_(torch.where(seen, self.last, self.older))
        self.last.copy_(torch.where(seen, self.total / self.steps.clamp_min(1), self.last))
        self.total.zero_()
        self.steps.zero_()
        self.epochs += seen

    def rates(self) -> Tensor:
        known = (self.epochs >= 2) & (self.older != 0)
        return torch.where(known, self.last / torch.where(known, self.older, 1.0), 1.0)
