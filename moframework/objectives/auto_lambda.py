"""Auto-λ: task weights by how well the network does on further samples after a step with them."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.objectives.adam import adam_direction
from moframework.objectives.base import Scalarization
from moframework.objectives.look_ahead import LookAhead, moved
from moframework.objectives.presence import StateByTask, present

__all__ = ["AutoLambda", "meta_gradient"]

# The length of a step of the finite difference, as released.
_LENGTH = 0.01
# What keeps the length of a gradient of 0 apart from 0.
_LEAST = 1e-12


@config
class AutoLambda(Scalarization):
    """Auto-λ (Liu, James, Davison, Johns, TMLR 2022, arXiv 2202.03091): `Σ_t w_t L_t`, whose weights w descend the loss
    of primary tasks on another batch after a step with them, `Σ_t p_t L'_t(θ − α ∇ Σ_s w_s L_s(θ))`.

    The gradient over w is −α ∇L_t(θ)·v with v the gradient of the primary loss at the moved weights, taken by a finite
    difference, `−α (L_t(θ + εv) − L_t(θ − εv)) / 2ε` with ε = .01 / ‖v‖; Adam moves w by it once a step. Its rate and
    first weights are those of the released code.

    The preference says which tasks are primary, p_t = m λ_t: with equal ones all are, as in multi-task learning, and a
    task with λ_t = 0 is auxiliary: it is trained as far as it helps the others. λ enters nowhere else, so this is for
    solvers with a network for each preference (`single`, `multipoint`, `stl`); others are refused.

    The other batch is of the training split, in an order of its own, as released; never of the validation split, which
    chooses the best checkpoint. `held_out` sets a share of the training split aside for it, which no step descends.

    Costs two passes forward and back, and two forward, beside those of the step. The moved weights are those of plain
    gradient descent at the optimizer's learning rate α (of its first group): momentum and weight decay, which the
    released code has for SGD, are left out, as is what makes Adam's step another one. Weights stay at least 0, which
    the released code does not see to. Of a single process; batches of one set each (`by: turn`) tell of few tasks at a
    time.

    >>> objective, losses, preferences = AutoLambda(initial=0.1), torch.tensor([[1.0, 3.0]]), torch.tensor([[0.5, 0.5]])
    >>> round(float(objective(losses, preferences, objective.build(m=2, r=1))), 4)  # 0.1 · 1 + 0.1 · 3
    0.4
    """

    rate: float = option(1e-4, gt=0, help="Adam's learning rate of the task weights")
    initial: float = option(0.1, gt=0, help="task weight at the start")
    held_out: float = option(
        0.0, ge=0, lt=1, help="share of the training split set aside for the other batch; 0: it is of all of them"
    )

    @property
    def held_out_share(self) -> float:
        """The other batch is what the weights are learned from."""
        return self.held_out

    def build(self, m: int, r: int) -> nn.Module:
        """The weights (r, m) and Adam's moments."""
        return _Weights(r, m, self.initial)

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Scalarization.__call__`."""
        return (cast(_Weights, state).task_weights * losses).sum(dim=1).mean()

    def look_ahead(self, ahead: LookAhead, preference: Tensor, state: nn.Module | None) -> None:
        """One step of Adam for the weights; those of tasks that the batch has no label of stay."""
        own = cast(_Weights, state)
        primary = len(preference) * preference
        gradient, known = meta_gradient(ahead, own.task_weights[0], primary)
        own.step(gradient.unsqueeze(0), known.unsqueeze(0), self.rate)


@torch.no_grad()
def meta_gradient(ahead: LookAhead, weights: Tensor, primary: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient over task weights (m,) of the primary loss after a step with them, and which of it are known (m,).

    Args:
        weights: w (m,) of the step.
        primary: p (m,), weights of the tasks on the held-out batch.

    With L = (θ², θ) and L' the same, at θ = 1, w = (½, 0), p = (1, 0) and α = ½: θ moves to ½, v = 1, and −α ∇L · v is
    (−1, −½):

    >>> def losses_of(at):
    ...     return torch.stack([at["θ"] ** 2, at["θ"]])
    >>> ahead = LookAhead(theta={"θ": torch.tensor(1.0)}, losses=losses_of, held_out=losses_of, rate=0.5)
    >>> meta_gradient(ahead, torch.tensor([0.5, 0.0]), torch.tensor([1.0, 0.0]))[0].round(decimals=3).tolist()
    [-1.0, -0.5]
    """
    step = ahead.gradient(ahead.losses, ahead.theta, weights)
    after = moved(ahead.theta, step, -ahead.rate)
    direction = ahead.gradient(ahead.held_out, after, primary)
    length = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(direction.values()))))
    size = _LENGTH / length.clamp_min(_LEAST)
    above, below = (ahead.losses(moved(ahead.theta, direction, sign * size)) for sign in (1, -1))
    gradient = -ahead.rate * (above - below) / (2 * size)
    return gradient, present(above) & gradient.isfinite().all()


class _Weights(StateByTask):
    """Weights (r, m) with Adam's moments. No parameters: the optimizer of the network must not step them."""

    task_weights: Tensor
    first: Tensor
    second: Tensor
    steps: Tensor

    def __init__(self, r: int, m: int, initial: float) -> None:
        super().__init__()
        self.register_buffer("task_weights", torch.full((r, m), initial))
        for name in ("first", "second", "steps"):
            self.register_buffer(name, torch.zeros(r, m))

    def step(self, gradient: Tensor, known: Tensor, rate: float) -> None:
        """Adam's step of the weights that are `known` (r, m); the others stay, with their moments."""
        gradient = torch.where(known, gradient, 0.0).to(self.first)
        self.task_weights.sub_(rate * adam_direction(self.first, self.second, self.steps, gradient, known)).clamp_min_(
            0
        )
