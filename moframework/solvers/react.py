"""ReACT: one merged network whose features are mapped to those of the members."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from moframework.config import config, option
from moframework.engine.method import Start
from moframework.merging import Merge
from moframework.merging.linear import LinearMerge
from moframework.merging.react import AlignedHeads, ReACTStart
from moframework.solvers.base import Solver
from moframework.solvers.soup import from_members
from moframework.weights import WeightSpaceConfig

__all__ = ["ReACT"]


@config
class ReACT(Solver):
    """Members merged once, and in front of the heads a linear map of the features for each preference (AAAI 2026).

    `W_p = (Σ_t p_t Ŵ_t C_t)(Σ_t p_t C_t)⁻¹`, Ŵ_t the regression from features of the merged network to those of member
    t: a closed form from 10 % of the training inputs, without labels and without a step.

    Source: arXiv 2511.10943, as described there; β = .1. Limits: heads begin with a linear layer and read the same
    features; only linear scalarization; the merged network below the heads is the same at every λ.
    """

    shared_options = ()
    trains: ClassVar[bool] = False
    needs_members: ClassVar[bool] = True

    members: Path | dict[str, Path] | None = option(
        None,
        help="the networks, required: a run folder that has one for each task (as `stl` leaves), or for each task a "
        "run folder, a .safetensors state dict, or a PEFT LoRA adapter folder",
    )
    base: Path | None = option(
        None, help="network that all members started from: a run folder or .safetensors; none: the members' mean"
    )
    merge: Merge = option(LinearMerge(), help="how the members are merged, at equal weights")
    scale: float = option(1.0, ge=0, help="factor of the merged vector")
    beta: float = option(0.1, ge=0, help="weight β of the nearest rotation in the regression")
    share: float = option(0.1, gt=0, le=1, help="share of the training inputs that features are taken from")
    heads: dict[str, str | tuple[str, ...]] | None = option(
        None,
        help="for a task, names of modules or parameters that its own member gives; none: all that one task's output "
        "alone depends on",
    )
    far: Literal["refuse", "warn"] = option(
        "refuse", help="members whose weights have a cosine below .3 with their common start: an error, or a note"
    )

    def weight_space(self, m: int) -> WeightSpaceConfig:
        """One network, and maps in front of its heads."""
        return AlignedHeads()

    def model_start(self) -> Start:
        """The members, and the maps."""
        gather = from_members(self.members, self.base, self.heads, self.far)
        return ReACTStart(gather=gather, merge=self.merge, scale=self.scale, beta=self.beta, share=self.share)
