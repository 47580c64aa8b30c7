"""Soup: the front between networks that were trained on one task each."""

from __future__ import annotations

from typing import ClassVar

from moframework.config import config, option
from moframework.engine.method import Start
from moframework.errors import SpecError
from moframework.merging import LiNeS, Merge, Merged
from moframework.merging.linear import LinearMerge
from moframework.solvers.on_members import OnMembers
from moframework.weights import WeightSpaceConfig

__all__ = ["Soup"]


@config
class Soup(OnMembers):
    """Networks that were fine-tuned from one start, merged at every preference; nothing is trained.

    `θ(λ) = θ_0 + s Σ_t λ_t (θ_t − θ_0)`: Rewarded Soups (Ramé et al., NeurIPS 2023, arXiv 2306.04488). The merge is
    exchangeable: `linear`, `ties`, `dare`, `tall`, `consensus`, scaled by depth with `lines`. A head, which one task's
    output alone depends on, comes from the member that trained it, at every λ.

    Limits: rests on linear mode connectivity; members that do not come from one start are refused. The merge is not
    trained on any data, so between the members nothing makes it optimal.

    Members in files, merged by TIES::

        solver:
          name: soup
          members: {left: left.safetensors, right: right.safetensors}
          base: base.safetensors
          merge: {name: ties, density: 0.3}
        training: none
    """

    trains: ClassVar[bool] = False

    merge: Merge = option(LinearMerge(), help="how task vectors become one: linear, ties, dare, tall, consensus")
    scale: float = option(1.0, ge=0, help="factor s of the merged vector; m: task arithmetic's sum at the center")
    lines: LiNeS | None = option(None, help="LiNeS: factors of the merged vector by depth; none: 1")
    trained_at: tuple[tuple[float, ...], ...] | None = option(
        None, help="the preference that each member was trained at (Bone Soup); none: the vertices"
    )

    def weight_space(self, m: int) -> WeightSpaceConfig:
        """Task vectors around the base."""
        if self.base is None and (self.merge.needs_base or self.scale != 1 or self.lines is not None):
            raise SpecError(
                "solver.base: all but a plain linear merge works on what training changed: name the network that the "
                "members started from, a run folder or a .safetensors file"
            )
        return Merged(merge=self.merge, scale=self.scale, lines=self.lines, trained_at=self.trained_at)

    def model_start(self) -> Start:
        """The members."""
        return self.from_members()
