"""ReACT: one merged network whose features are mapped to those of the members."""

from __future__ import annotations

from typing import ClassVar

from moframework.config import config, option
from moframework.engine.method import Start
from moframework.merging import Merge
from moframework.merging.linear import LinearMerge
from moframework.merging.react import AlignedHeads, ReACTStart
from moframework.solvers.on_members import OnMembers
from moframework.weights import WeightSpaceConfig

__all__ = ["ReACT"]


@config
class ReACT(OnMembers):
    """Members merged once, and in front of the heads a linear map of the features for each preference (AAAI 2026).

    `W_p = (Σ_t p_t Ŵ_t C_t)(Σ_t p_t C_t)⁻¹`, Ŵ_t the regression from features of the merged network to those of member
    t: a closed form from 10 % of the training inputs, without labels and without a step.

    Source: arXiv 2511.10943, as described there; β = .1. Limits: heads begin with a linear layer, or a convolution
    (whose channels are the features, of each pixel; the paper has linear ones), and read the same features; only linear
    scalarization; the merged network below the heads is the same at every λ.

    With features of a fifth of the training inputs::

        solver:
          name: react
          members: {left: left.safetensors, right: right.safetensors}
          base: base.safetensors
          share: 0.2
        training: none
    """

    trains: ClassVar[bool] = False

    merge: Merge = option(LinearMerge(), help="how the members are merged, at equal weights")
    scale: float = option(1.0, ge=0, help="factor of the merged vector")
    beta: float = option(0.1, ge=0, help="weight β of the nearest rotation in the regression")
    share: float = option(0.1, gt=0, le=1, help="share of the training inputs that features are taken from")

    def weight_space(self, m: int) -> WeightSpaceConfig:
        """One network, and maps in front of its heads."""
        return AlignedHeads()

    def model_start(self) -> Start:
        """The members, and the maps."""
        gather = self.from_members()
        return ReACTStart(gather=gather, merge=self.merge, scale=self.scale, beta=self.beta, share=self.share)
