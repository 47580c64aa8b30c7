"""Pareto Merging: a merged network that a small tensor turns towards each preference, trained without labels."""

from __future__ import annotations

from typing import Literal

import attrs

from moframework.config import config, option
from moframework.engine.method import Method, Start
from moframework.errors import SpecError
from moframework.losses.entropy import Entropy
from moframework.merging import Merge
from moframework.merging.linear import LinearMerge
from moframework.merging.pareto import ParetoMerged, ParetoMergingStart
from moframework.objectives.smooth_tchebycheff import SmoothTchebycheff
from moframework.preferences.dirichlet import Dirichlet
from moframework.solvers.on_members import OnMembers
from moframework.weights import WeightSpaceConfig
from moframework.weights.adapted import Form

__all__ = ["ParetoMerging"]


@config
class ParetoMerging(OnMembers):
    """A frozen merged network, and one low-rank adapter whose core depends on λ, trained without any label.

    `W(λ) = W_base + G ×₁ A ×₂ B ×₃ λ`, trained on the smooth Tchebycheff scalarization at λ, uniform on the simplex, of
    the squared Frobenius distances `‖θ(λ) − θ_t‖²` to the members (`loss: distance`, no data), or of the entropies of
    each task's predictions on training inputs (`loss: entropy`). Chen, Kwok: Pareto Merging: Multi-Objective
    Optimization for Preference-Aware Model Merging, ICML 2025.

    Source: after arXiv 2408.12105; there is no released code that we know of, so ranks, rates and μ are ours. Distances
    are in units of their mean at the start. Limits: W is linear in λ, and far from the members where their task vectors
    are of higher rank; a step with `distance` draws a batch in vain; entropy is least where all samples get one class,
    which long trainings and large rates end in.

    Without data, on the distances to the members::

        solver:
          name: pareto_merging
          members: {left: left.safetensors, right: right.safetensors}
          base: base.safetensors
          loss: distance
          rank: 8
    """

    shared_options = ("preferences", "objective", "balancing")
    default_preferences = Dirichlet(concentration=1.0, per_batch=1)
    default_objective = SmoothTchebycheff()

    loss: Literal["distance", "entropy"] = option(
        "distance", help="what is minimized: distance to each member, or entropy of each task's predictions"
    )
    merge: Merge = option(LinearMerge(), help="how the members become the base, at equal weights")
    scale: float = option(1.0, ge=0, help="factor of the merged vector; m: task arithmetic's sum")
    rank: int = option(4, ge=1, le=4096, help="inner rank of the adapters")
    conv: Form = option("loralib", help="form of the adapters of convolutions: loralib, peft or separable")

    def weight_space(self, m: int) -> WeightSpaceConfig:
        """The base and its adapters."""
        return ParetoMerged(rank=self.rank, conv=self.conv)

    def model_start(self) -> Start:
        """The members, as base and as aims."""
        gather = self.from_members()
        return ParetoMergingStart(gather=gather, merge=self.merge, scale=self.scale, loss=self.loss)

    def method(self, m: int) -> Method:
        """See `Solver.method`."""
        made = super().method(m)
        if self.loss == "entropy":
            return attrs.evolve(made, loss=Entropy())
        if made.needs_task_gradients:
            raise SpecError(
                "solver.objective: distances are no losses of outputs, so there are no gradients of single tasks; take "
                "a scalarization such as smooth_tchebycheff, and no balancing by gradients"
            )
        return made
