"""The optimizer's state, and a checkpoint's, where the parameters themselves are sharded; see `streaming`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from moframework.engine.distributed.fsdp import ShardedSpace
from moframework.engine.distributed.optimizer_sharding import ONCE, Groups, OptimizerSharding, State
from moframework.engine.distributed.world import World
from moframework.model import ParetoModel

__all__ = ["FullySharded"]


class FullySharded(OptimizerSharding):
    """The optimizer steps the shards that each process has; FSDP has averaged their gradients.

    What a checkpoint holds is put together as the whole weight space has it, so that any number of processes can go on.
    """

    def __init__(self, groups: Groups, space: ShardedSpace, lr: float) -> None:
        # To the optimizer shards are plain tensors: not every one knows distributed ones.
        self.parameters = [cast(nn.Parameter, p) for group in groups for p in group["params"]]
        self.local = [nn.Parameter(_local(p.detach()), p.requires_grad) for p in self.parameters]
        of = {id(p): own for p, own in zip(self.parameters, self.local, strict=True)}
        super().__init__([{**group, "params": [of[id(p)] for p in group["params"]]} for group in groups])
        self.space = space
        self._whole_names, self._own_names = space.order(lr)

    def zero_grad(self, optimizer: torch.optim.Optimizer) -> None:
        """See `OptimizerSharding.zero_grad`."""
        for tensor in (*self.parameters, *self.local):
            tensor.grad = None

    def step(self, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
        """See `OptimizerSharding.step`."""
        for parameter, own in zip(self.parameters, self.local, strict=True):
            own.grad = None if parameter.grad is None else _local(parameter.grad)
        scaler.step(optimizer)

    def average(self, world: World, parameters: Sequence[Tensor]) -> None:
        """See `OptimizerSharding.average`: those of parameters that every process has whole."""
        world.average_gradients([parameter for parameter in parameters if not isinstance(parameter, DTensor)])

    def clip(self, parameters: Sequence[Tensor], norm: float) -> None:
        """See `OptimizerSharding.clip`."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        local = [_local(g) for g in gradients if isinstance(g, DTensor)]
        alike = [g for g in gradients if not isinstance(g, DTensor)]
        squares = torch.stack([g.square().sum() for g in local] or [torch.zeros((), device=gradients[0].device)]).sum()
        torch.distributed.all_reduce(squares)
        for gradient in alike:
            squares = squares + gradient.square().sum()
        factor = (norm / (squares.sqrt() + 1e-6)).clamp(max=1.0)
        for gradient in (*local, *alike):
            gradient.mul_(factor)

    def finite(self, parameters: Sequence[Tensor]) -> bool:
        """See `OptimizerSharding.finite`."""
        faults = torch.stack([(~torch.isfinite(_local(p.detach()))).any() for p in parameters]).any().float()
        torch.distributed.all_reduce(faults)
        return not bool(faults)

    def model_state(self, model: ParetoModel) -> State:
        """See `OptimizerSharding.model_state`."""
        rest = {name: value for name, value in model.state_dict().items() if not name.startswith("space.")}
        return {**{f"space.{name}": value for name, value in self.space.gathered().items()}, **rest}

    def load_model(self, model: ParetoModel, state: Mapping[str, Any]) -> None:
        """See `OptimizerSharding.load_model`."""
        prefix = "space."
        self.space.load({name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)})
        rest = {name: value for name, value in state.items() if not name.startswith(prefix)}
        model.load_state_dict(rest, strict=False)

    def finish(self, model: ParetoModel) -> None:
        """See `OptimizerSharding.finish`."""
        model.run_by(self.space.restored(), None)

    def state(self, optimizer: torch.optim.Optimizer) -> State:
        """See `OptimizerSharding.state`."""
        partial = optimizer.state_dict()
        known = partial["state"]
        entries = {name: known[i] for i, name in enumerate(self._own_names) if i in known}
        present = self._told(lambda name: 1.0 if name in entries else 0.0)
        whole: dict[int, dict[str, Any]] = {
            i: {} for i, name in enumerate(self._whole_names) if present[name].flatten()[0] > 0
        }
        for key in next(iter(entries.values()), {}):
            if key in ONCE:
                values = self._told(lambda name, key=key: float(entries[name][key]) if name in entries else 0.0)  # type: ignore[misc]
            else:
                values = self.space.whole(
                    {
                        name: _like(entries[name][key], shard) if name in entries else torch.zeros_like(shard)
                        for name, shard in self._every().items()
                    }
                )
            for i in whole:
                value = values[self._whole_names[i]]
                whole[i][key] = value.flatten()[0].float() if key in ONCE else value
        offset = len(self._whole_names) - len(self._own_names)
        for i in range(len(self._own_names), len(self._own_names) + len(known)):  # parameters of the objective
            if i in known:
                whole[i + offset] = known[i]
        return {"state": whole, "param_groups": _numbered(partial["param_groups"], self.space.group_sizes())}

    def load(self, optimizer: torch.optim.Optimizer, state: State) -> None:
        """See `OptimizerSharding.load`."""
        known = state["state"]
        entries = {name: known[i] for i, name in enumerate(self._whole_names) if i in known}
        shapes = dict(self.space.whole_parameters())
        present = self._dealt(lambda name: torch.full(shapes[name], 1.0 if name in entries else 0.0))
        own: dict[int, dict[str, Any]] = {i: {} for i, name in enumerate(self._own_names) if present[name]}
        for key in next(iter(entries.values()), {}):
            if key in ONCE:
                numbers = self._dealt(
                    lambda name, key=key: torch.full(
                        shapes[name], float(entries[name][key]) if name in entries else 0.0
                    )  # type: ignore[misc]
                )
                for i in own:
                    own[i][key] = torch.tensor(numbers[self._own_names[i]])
                continue
            values = self.space.shards(
                {name: entries[name][key] if name in entries else torch.zeros(shape) for name, shape in shapes.items()}
            )
            for i in own:
                own[i][key] = _local(values[self._own_names[i]])
        offset = len(self._whole_names) - len(self._own_names)
        for i, entry in known.items():
            if i >= len(self._whole_names):
                own[i - offset] = entry
        sizes = [len(group["params"]) for group in optimizer.param_groups]
        groups = _numbered(state["param_groups"], sizes)
        optimizer.load_state_dict({"state": own, "param_groups": groups})

    def _every(self) -> dict[str, Tensor]:
        return {name: p.detach() for name, p in self.space.root.named_parameters()}

    def _told(self, number: Callable[[str], float]) -> dict[str, Tensor]:
        """A number of each shard, everywhere in what belongs to it of the whole space."""
        return self.space.whole({name: torch.full_like(shard, number(name)) for name, shard in self._every().items()})

    def _dealt(self, values: Callable[[str], Tensor]) -> dict[str, float]:
        """A number of each of the whole space's parameters, by the names of the shards it belongs to."""
        found = self.space.shards({name: values(name) for name in dict(self.space.whole_parameters())})
        # A process may have no part of a small parameter.
        return {name: float(cast(DTensor, value).full_tensor().flatten()[0]) for name, value in found.items()}


def _numbered(groups: Sequence[Mapping[str, Any]], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Groups with their parameters numbered anew, so many in each; those beyond keep their number of parameters."""
    result, start = [], 0
    for k, group in enumerate(groups):
        size = sizes[k] if k < len(sizes) else len(group["params"])
        result.append({**group, "params": list(range(start, start + size))})
        start += size
    return result


def _local(tensor: Tensor) -> Tensor:
    """What this process has of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _like(local: Tensor, shard: Tensor) -> Tensor:
    """This process's part as a tensor distributed as `shard` is."""
    if not isinstance(shard, DTensor):
        return local
    return DTensor.from_local(
        local, shard.device_mesh, shard.placements, run_check=False, shape=shard.shape, stride=shard.stride()
    )
