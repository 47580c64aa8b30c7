"""PWEMoE: learned coefficients between networks that were trained on one task each."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from moframework.config import config, option
from moframework.engine.method import Start
from moframework.merging.routed import Routed
from moframework.preferences.dirichlet import Dirichlet
from moframework.solvers.base import Solver
from moframework.solvers.soup import from_members
from moframework.weights import WeightSpaceConfig

__all__ = ["PWEMoE"]


@config
class PWEMoE(Solver):
    """Frozen members, and small trained routers that give their coefficients for each group of parameters.

    `θ_l(λ) = θ0_l + Σ_t g_l(λ)_t τ_{l,t}`, trained on `Σ_t λ_t L_t`, or EPO, at one preference a batch. Tang, Shen,
    Luo, Liu, Hu, Du, Tao: Towards Efficient Pareto Set Approximation via Mixture of Experts Based Model Fusion, 2024.

    Source: arXiv 2406.09770 and its released code: start .3, one preference a batch, Adam at 1e-2 with cosine decay to
    a tenth for 2,000 to 4,000 steps; it routes MLP blocks and leaves the rest at task arithmetic, here every group has
    a router. A learning rate as for networks hardly moves routers: set `training.optimizer: {name: adam, lr: 1e-2}`.

    Limits: coefficients are free, so λ at a vertex need not give that task's member; with two tasks and one layer they
    are affine in λ.
    """

    shared_options = ("preferences", "objective", "balancing")
    default_preferences = Dirichlet(concentration=1.0, per_batch=1)
    needs_members: ClassVar[bool] = True

    members: Path | dict[str, Path] | None = option(
        None,
        help="the networks, required: a run folder that has one for each task (as `stl` leaves), or for each task a "
        "run folder, a .safetensors state dict, or a PEFT LoRA adapter folder",
    )
    base: Path | None = option(
        None, help="network that all members started from: a run folder or .safetensors; none: the members' mean"
    )
    groups: Literal["block", "layer", "all"] = option(
        "layer", help="parameters that have one router: those of a layer, of a block, or all"
    )
    layers: Literal[1, 2] = option(1, help="layers of a router")
    coefficient: float = option(0.3, help="coefficient of every task vector at the start")
    heads: dict[str, str | tuple[str, ...]] | None = option(
        None,
        help="for a task, names of modules or parameters that its own member gives; none: all that one task's output "
        "alone depends on",
    )
    far: Literal["refuse", "warn"] = option(
        "refuse", help="members whose weights have a cosine below .3 with their common start: an error, or a note"
    )

    def weight_space(self, m: int) -> WeightSpaceConfig:
        """Task vectors and routers."""
        return Routed(groups=self.groups, layers=self.layers, start=self.coefficient)

    def model_start(self) -> Start:
        """The members."""
        return from_members(self.members, self.base, self.heads, self.far)
