"""FSDP and the optimizer: its steps, and its full state in checkpoints; see `fsdp`."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from moframework.engine.distributed.fsdp import ShardedSpace
from moframework.engine.distributed.optimizer_sharding import PER_PARAMETER, Groups, OptimizerSharding, State

__all__ = ["FullySharded"]

Entries = dict[str, dict[str, Any]]
"""An optimizer's state, by name of parameter."""


class FullySharded(OptimizerSharding):
    """The optimizer steps the shards that each rank has, as plain tensors: not every optimizer knows distributed ones.
    FSDP has averaged their gradients.

    Beside the shards, the groups may hold parameters that every rank has in full, those of the objective.
    """

    def __init__(self, groups: Groups, space: ShardedSpace) -> None:
        parameters = [p for group in groups for p in group["params"]]
        super().__init__(groups, [nn.Parameter(_local(p.detach()), p.requires_grad) for p in parameters])
        self.space = space
        self._owners = space.shard_owners()
        names = {id(parameter): name for name, parameter in space.root.named_parameters()}
        others = [f"objective {i}" for i, p in enumerate(parameters) if id(p) not in names]
        # The parameters' names in the order of the optimizer, sharded and in full.
        self._sharded_order = [names[id(p)] for p in parameters if id(p) in names] + others
        self._full_order = [name for group in space.full_groups for name in group] + others

    def part(self, gradient: Tensor, parameter: Tensor) -> Tensor:
        return _local(gradient)

    def full_state(self, state: State) -> State:
        local = state["state"]
        full = self._full_entries({name: local[i] for i, name in enumerate(self._sharded_order) if i in local})
        sizes = [len(names) for names in self.space.full_groups]
        return _state(full, self._full_order, state["param_groups"], sizes)

    def local_state(self, state: State) -> State:
        full = state["state"]
        local = self._local_entries({name: full[i] for i, name in enumerate(self._full_order) if i in full})
        sizes = [len(group["params"]) for group in self.groups]
        return _state(local, self._sharded_order, state["param_groups"], sizes)

    def _full_entries(self, entries: Entries) -> Entries:
        """The state of the full parameters, from that of this rank's shards."""
        full = {name: entry for name, entry in entries.items() if name not in self._owners}
        for name, owner in self._owners.items():
            if name in entries:
                kept = {key: value for key, value in entries[name].items() if key in PER_PARAMETER}
                full.setdefault(owner, {}).update(kept)
        shards = {name: parameter.detach() for name, parameter in self.space.root.named_parameters()}
        for key in _sharded_keys(entries):
            values = {
                name: _like(entries[name][key], shard) if name in entries else torch.zeros_like(shard)
                for name, shard in shards.items()
            }
            for owner, value in self.space.unshard_values(values).items():
                if owner in full:
                    full[owner][key] = value
        return full

    def _local_entries(self, entries: Entries) -> Entries:
        """The state of this rank's shards, from that of the full parameters."""
        shapes = self.space.full_shapes
        local = {name: entry for name, entry in entries.items() if name not in shapes}
        for name, owner in self._owners.items():
            if owner in entries:
                local[name] = {k: copy.deepcopy(v) for k, v in entries[owner].items() if k in PER_PARAMETER}
        for key in _sharded_keys(entries):
            values = {
                name: entries[name][key] if name in entries else torch.zeros(shape) for name, shape in shapes.items()
            }
            for name, value in self.space.shard_values(values).items():
                if name in local:
                    local[name][key] = _local(value)
        return local


def _sharded_keys(entries: Entries) -> list[str]:
    """What an optimizer keeps for each number of a parameter."""
    return [key for key in next(iter(entries.values()), {}) if key not in PER_PARAMETER]


def _state(entries: Entries, order: Sequence[str], groups: Sequence[Any], sizes: Sequence[int]) -> State:
    """An optimizer's state of parameters in this order, in groups of these sizes; groups beyond keep theirs."""
    numbers, result = itertools.count(), []
    for k, group in enumerate(groups):
        size = sizes[k] if k < len(sizes) else len(group["params"])
        result.append({**group, "params": list(itertools.islice(numbers, size))})
    return {"state": {i: entries[name] for i, name in enumerate(order) if name in entries}, "param_groups": result}


def _local(tensor: Tensor) -> Tensor:
    """What this rank has of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _like(local: Tensor, shard: Tensor) -> Tensor:
    """This rank's part as a tensor distributed as `shard` is."""
    if not isinstance(shard, DTensor):
        return local
    return DTensor.from_local(
        local, shard.device_mesh, shard.placements, run_check=False, shape=shard.shape, stride=shard.stride()
    )
