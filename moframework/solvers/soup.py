"""Soup: the front between networks that were trained on one task each."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from moframework.config import config, option
from moframework.engine.method import Start
from moframework.errors import SpecError
from moframework.merging import LiNeS, Merge, Merged
from moframework.merging.linear import LinearMerge
from moframework.merging.start import FromMembers
from moframework.solvers.base import Solver
from moframework.weights import WeightSpaceConfig

__all__ = ["Soup", "from_members"]


@config
class Soup(Solver):
    """Networks that were fine-tuned from one start, merged at every preference; nothing is trained.

    `θ(λ) = θ_0 + s Σ_t λ_t (θ_t − θ_0)`: Rewarded Soups (Ramé et al., NeurIPS 2023, arXiv 2306.04488). The merge is
    exchangeable: `linear`, `ties`, `dare`, `tall`, `consensus`, scaled by depth with `lines`. A head, which one task's
    output alone depends on, comes from the member that trained it, at every λ.

    Limits: rests on linear mode connectivity; members that do not come from one start are refused. The merge is not
    trained on any data, so between the members nothing makes it optimal.
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
        None, help="network that all members started from: a run folder or .safetensors; only linear merges need none"
    )
    merge: Merge = option(LinearMerge(), help="how task vectors become one: linear, ties, dare, tall, consensus")
    scale: float = option(1.0, ge=0, help="factor s of the merged vector; m: task arithmetic's sum at the center")
    lines: LiNeS | None = option(None, help="LiNeS: factors of the merged vector by depth; none: 1")
    heads: dict[str, str | tuple[str, ...]] | None = option(
        None,
        help="for a task, names of modules or parameters that its own member gives; none: all that one task's output "
        "alone depends on",
    )
    trained_at: tuple[tuple[float, ...], ...] | None = option(
        None, help="the preference that each member was trained at (Bone Soup); none: the vertices"
    )
    far: Literal["refuse", "warn"] = option(
        "refuse", help="members whose weights have a cosine below .3 with their common start: an error, or a note"
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
        return from_members(self.members, self.base, self.heads, self.far)


def from_members(
    members: Path | dict[str, Path] | None,
    base: Path | None,
    heads: dict[str, str | tuple[str, ...]] | None,
    far: Literal["refuse", "warn"],
) -> FromMembers:
    """The start that a solver's options name. Raises `SpecError` where there are no members."""
    if members is None:
        raise SpecError(
            "solver.members: required: the networks to merge, a run folder that has one for each task, as solver stl "
            "with `initial` leaves, or a folder or .safetensors file for each task"
        )
    return FromMembers(members=members, base=base, heads=heads, far=far)
