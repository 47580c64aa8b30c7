"""PWEMoE: learned coefficients between networks that were trained on one task each."""

from __future__ import annotations

from typing import Literal

from moframework.config import config, option
from moframework.engine.method import Start
from moframework.merging.routed import Routed
from moframework.preferences.dirichlet import Dirichlet
from moframework.solvers.on_members import OnMembers
from moframework.weights import WeightSpaceConfig

__all__ = ["PWEMoE"]


@config
class PWEMoE(OnMembers):
    """Frozen members, and small trained routers that give their coefficients for each group of parameters.

    `θ_l(λ) = θ0_l + Σ_t g_l(λ)_t τ_{l,t}`, trained on `Σ_t λ_t L_t`, or EPO, at one preference a batch. Tang, Shen,
    Luo, Liu, Hu, Du, Tao: Towards Efficient Pareto Set Approximation via Mixture of Experts Based Model Fusion, 2024.

    Source: arXiv 2406.09770 and its released code: start .3, one preference a batch, Adam at 1e-2 with cosine decay to
    a tenth for 2,000 to 4,000 steps; it routes MLP blocks and leaves the rest at task arithmetic, here every group has
    a router. A learning rate as for networks hardly moves routers: set `training.optimizer: {name: adam, lr: 1e-2}`.

    Limits: coefficients are free, so λ at a vertex need not give that task's member; with two tasks and one layer they
    are affine in λ.

    With a router for each block::

        solver:
          name: pwemoe
          members: {left: left.safetensors, right: right.safetensors}
          base: base.safetensors
          groups: block
        training: {optimizer: {name: adam, lr: 1e-2}}
    """

    shared_options = ("preferences", "objective", "balancing")
    default_preferences = Dirichlet(concentration=1.0, per_batch=1)

    groups: Literal["block", "layer", "all"] = option(
        "layer", help="parameters that have one router: those of a layer, of a block, or all"
    )
    layers: Literal[1, 2] = option(1, help="layers of a router")
    coefficient: float = option(0.3, help="coefficient of every task vector at the start")

    def weight_space(self, m: int) -> WeightSpaceConfig:
        """Task vectors and routers."""
        return Routed(groups=self.groups, layers=self.layers, start=self.coefficient)

    def model_start(self) -> Start:
        """The members."""
        return self.from_members()
