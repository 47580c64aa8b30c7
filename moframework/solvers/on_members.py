"""What solvers share that work on networks which were trained on one task each."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from moframework.config import config, option
from moframework.errors import SpecError
from moframework.merging.start import FromMembers
from moframework.solvers.base import Solver

__all__ = ["OnMembers"]


@config
class OnMembers(Solver):
    """A solver that is given members, networks of one start that were trained on one task each: which, and what of
    them."""

    shared_options: ClassVar[tuple[str, ...]] = ()
    needs_members: ClassVar[bool] = True

    members: Path | dict[str, Path] | None = option(
        None,
        help="the networks, required: a run folder that has one for each task (as `stl` leaves), or for each task a "
        "run folder, a .safetensors state dict, or a PEFT LoRA adapter folder",
    )
    base: Path | None = option(
        None, help="network that all members started from: a run folder or .safetensors; none: the members' mean"
    )
    heads: dict[str, str | tuple[str, ...]] | None = option(
        None,
        help="for a task, names of modules or parameters that its own member gives; none: all that one task's output "
        "alone depends on",
    )
    far: Literal["refuse", "warn"] = option(
        "refuse", help="members whose weights have a cosine below .3 with their common start: an error, or a note"
    )

    def from_members(self) -> FromMembers:
        """The start that the options name. Raises `SpecError` where there are no members."""
        if self.members is None:
            raise SpecError(
                "solver.members: required: the networks to merge, a run folder that has one for each task, as solver "
                "stl with `initial` leaves, or a folder or .safetensors file for each task"
            )
        return FromMembers(members=self.members, base=self.base, heads=self.heads, far=self.far)
