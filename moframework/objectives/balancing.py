"""Balancing: scales that put tasks of different magnitude on one footing before the objective weighs them."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from moframework.config import Component, config, option
from moframework.objectives.presence import mean_of_present, present

__all__ = ["Balancing", "GradientBalancing", "LossBalancing"]


class Balancing(Component, kind="balancings"):
    """Positive factors, one a task, that multiply the losses of one preference; no gradient flows through them.

    Pure: state is a dict of tensors that the engine keeps, saves and hands back.

    >>> @config
    ... class Inverse(Balancing):
    ...     "Divides each loss by what it is."
    ...     def scales(self, losses, gradient_norms, state):
    ...         return 1 / losses
    >>> Inverse().scales(torch.tensor([4.0, 0.5]), None, {})
    tensor([0.2500, 2.0000])
    """

    needs_gradients: ClassVar[bool] = False

    def initial_state(self, m: int) -> dict[str, Tensor]:
        """State before the first step, for m objectives; empty by default."""
        return {}

    def updated(self, state: dict[str, Tensor], losses: Tensor) -> dict[str, Tensor]:
        """State after a step that saw losses (r, m), detached; unchanged by default. A loss of exactly 0 is of a task
        that the batch has no label of: see `objectives.presence`."""
        return state

    @abstractmethod
    def scales(self, losses: Tensor, gradient_norms: Tensor | None, state: dict[str, Tensor]) -> Tensor:
        """Factors (m,) for one preference.

        Args:
            losses: (m,), detached.
            gradient_norms: (m,) Euclidean norms of each loss's gradient over the parameters that all tasks share;
                given when `needs_gradients`.
            state: as `updated` left it.
        """


@config
class LossBalancing(Balancing):
    """Divides each task's loss by its running mean (PaMaL, arXiv 2210.09759, §4.3). A batch without a label of a task
    leaves that task's mean as it is.

    The released code of PaMaL and PaLoRA instead multiplies by one minus the task's share of the running means, after
    `window` steps of factor 1: `form: published`.

    >>> balancing, losses = LossBalancing(), torch.tensor([4.0, 0.5])
    >>> state = balancing.updated(balancing.initial_state(2), losses.unsqueeze(0))
    >>> balancing.scales(losses, None, state)
    tensor([0.2500, 2.0000])
    """

    window: int = option(25, ge=1, le=1_000_000, help="steps that the running mean covers")
    form: Literal["inverse", "published"] = option(
        "inverse", help="inverse: 1 / running mean; published: 1 − share of the running means, as in the released code"
    )

    def initial_state(self, m: int) -> dict[str, Tensor]:
        """Each task's last `window` losses (window, m) and how many it had (m,)."""
        return {"losses": torch.zeros(self.window, m), "seen": torch.zeros(m, dtype=torch.int64)}

    def updated(self, state: dict[str, Tensor], losses: Tensor) -> dict[str, Tensor]:
        """Append the step's mean over preferences, of the tasks that are present."""
        moved = torch.cat([state["losses"][1:], mean_of_present(losses).unsqueeze(0)])
        known = present(losses).any(dim=0)
        return {"losses": torch.where(known, moved, state["losses"]), "seen": state["seen"] + known}

    def scales(self, losses: Tensor, gradient_norms: Tensor | None, state: dict[str, Tensor]) -> Tensor:
        """See `Balancing.scales`."""
        seen = state["seen"]
        mean = state["losses"].sum(dim=0) / seen.clamp(1, self.window)
        if self.form == "published":
            return torch.where(
                seen > self.window, 1 - mean.abs() / mean.abs().sum().clamp_min(1e-12), torch.ones_like(mean)
            )
        # Before the first step there is no mean: the losses of this very step stand in. 1e-12 guards a loss of
        # exactly 0.
        return 1 / torch.where(seen > 0, mean, losses).abs().clamp_min(1e-12)


@config
class GradientBalancing(Balancing):
    """Divides each task's loss by the norm of its gradient over the shared parameters (PaMaL, PaLoRA):
    `λ_t L_t / (‖∇_shared L_t‖ + ξ)`, ξ = 1e-3 as released, so that a vanishing gradient is not blown up.

    >>> norms = torch.tensor([3.999, 0.499])
    >>> GradientBalancing(xi=0.001).scales(torch.tensor([1.0, 1.0]), norms, {})
    tensor([0.2500, 2.0000])
    """

    needs_gradients: ClassVar[bool] = True
    xi: float = option(1e-3, gt=0, help="added to the norm, so that a vanishing gradient is not blown up")

    def scales(self, losses: Tensor, gradient_norms: Tensor | None, state: dict[str, Tensor]) -> Tensor:
        """See `Balancing.scales`."""
        if gradient_norms is None:
            raise ValueError("gradient balancing needs gradient_norms")
        return 1 / (gradient_norms + self.xi)
