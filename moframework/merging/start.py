"""`FromMembers`: members from disk into a model, before a training or in the place of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol, cast

import torch
from attrs import frozen
from torch import nn

from moframework.config import Trust
from moframework.data import Dataset, batches
from moframework.merging.heads import find_heads, head_buffers, named_heads
from moframework.merging.members import Members, MembersPath, check_common_start, mean_state, read_members
from moframework.model import ParetoModel
from moframework.problem import Problem
from moframework.weights import WeightSpace

__all__ = ["FromMembers", "Gathered", "HeadNames", "TakesMembers"]

Heads = Sequence[Sequence[str]]
HeadNames = Mapping[str, str | tuple[str, ...]]
"""For a task the names of parameters or modules that are its head."""


class TakesMembers(Protocol):
    """A weight space that holds members."""

    def take(self, members: Members, heads: Sequence[Sequence[str]]) -> list[str]:
        """Take them over, and say what is to be told. `heads`: names of parameters of each task's own."""


@frozen
class Gathered:
    """Members, the names of each task's head, and what is to be told of them."""

    members: Members
    heads: Sequence[Sequence[str]]
    told: Sequence[str]


@frozen(kw_only=True)
class FromMembers:
    """Reads members, compares them with each other and the network, finds heads, and fills the weight space.

    Buffers, such as statistics of BatchNorm layers, become the mean of the members', those of heads their member's.

    Attributes:
        members, base: as of `read_members`.
        heads: by name; None: what one task's output alone depends on, see `find_heads`.
        far: what becomes of members that are far from a common start: see `check_common_start`.
        into: puts them into a weight space that does not take them itself.
    """

    members: MembersPath
    base: Path | None = None
    heads: HeadNames | None = None
    far: Literal["refuse", "warn"] = "refuse"

    into: Callable[[WeightSpace, Members, Heads], list[str]] | None = None

    def __call__(self, model: ParetoModel, problem: Problem, data: Dataset, trust: Trust) -> Sequence[str]:
        """See `engine.method.Start`. Raises as `gathered`."""
        found = self.gathered(model, problem, data, trust)
        if self.into is not None:
            told = self.into(model.space, found.members, found.heads)
        else:
            told = cast(TakesMembers, model.space).take(found.members, found.heads)
        return [*found.told, *told]

    def gathered(self, model: ParetoModel, problem: Problem, data: Dataset, trust: Trust) -> Gathered:
        """The members and their heads; the model's buffers are filled. Raises as `read_members`, `check_common_start`
        and `named_heads`."""
        network, tasks = model.recipe.make(), model.tasks
        members = read_members(self.members, self.base, tasks, network, trust)
        check_common_start(members, tasks, network, self.far)
        if self.heads is None:
            x, _ = next(batches(data, 2, order=torch.arange(min(2, len(data))), device="cpu"))  # type: ignore[arg-type]
            heads = find_heads(network, [task.output_key for task in problem.tasks], x, model.network.how)
        else:
            heads = named_heads(network, self.heads, tasks)
        _fill_buffers(model.skeleton, members, head_buffers(network, heads))
        return Gathered(members, heads, [*members.notes, *_told_of_heads(tasks, heads)])


@torch.no_grad()
def _fill_buffers(skeleton: nn.Module, members: Members, of_heads: Sequence[Sequence[str]]) -> None:
    values = mean_state(members.states)
    for state, names in zip(members.states, of_heads, strict=True):
        values |= {name: state[name] for name in names if name in state}
    for name, buffer in skeleton.named_buffers():
        if name in values:
            buffer.copy_(values[name])


def _told_of_heads(tasks: Sequence[str], heads: Sequence[Sequence[str]]) -> list[str]:
    found = [
        f"{', '.join(dict.fromkeys(name.rpartition('.')[0] or name for name in names))} of {task}"
        for task, names in zip(tasks, heads, strict=True)
        if names
    ]
    return [f"heads from the member that trained them: {'; '.join(found)}"] if found else []
