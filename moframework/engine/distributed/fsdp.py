"""Networks that do not fit: parameters sharded over processes, θ(λ) made layer by layer as the network needs it.

A weight space makes θ(λ) at once, from all its parameters. Where these are sharded, that would bring the whole network
onto every device, and twice. Here the space is taken apart, one piece for each layer (`WeightSpace.pieces`), and each
piece is an FSDP2 module (`torch.distributed.fsdp.fully_shard`): its parameters come together when its layer runs, θ of
the layer is made, and they part again. θ itself does not stay either: what autograd keeps of it for the backward pass
is made again there, from parameters gathered again. So a device holds, at any time,

    its share of parameters, gradients and optimizer state  +  one layer whole  +  activations,

for one more gathering and merging of each layer, in the backward pass of each preference.

Sources: Zhao et al., PyTorch FSDP, VLDB 2023, arXiv 2304.11277; Rajbhandari et al., ZeRO (stage 3), SC 2020, arXiv
1910.02054.
"""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import torch
from attrs import frozen
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from moframework.errors import SpecError
from moframework.layers.rematerialized import rematerializing
from moframework.model import PREFERENCE, ParetoModel
from moframework.weights import WeightSpace

__all__ = ["ShardedSpace", "shard_parameters"]


class _Unit(nn.Module):
    """One layer's piece of a weight space."""

    def __init__(self, space: WeightSpace) -> None:
        super().__init__()
        self.space = space

    def forward(self, preference: Tensor) -> dict[str, Tensor]:
        """θ(λ) of the layer, in memory of its own: that of the parameters is given back at once."""
        own = {id(parameter) for parameter in self.parameters()}
        return {k: v.clone() if id(v) in own else v for k, v in self.space.weights(preference).items()}

    def again(self, preference: Tensor) -> dict[str, Tensor]:
        """θ(λ) once more, in the backward pass."""
        cast(FSDPModule, self).unshard()
        return cast("dict[str, Tensor]", self(preference))


class _Root(nn.Module):
    """All units, and the forward pass of the network that calls them."""

    def __init__(self, units: Iterable[_Unit]) -> None:
        super().__init__()
        self.units = nn.ModuleList(units)

    def forward(self, x: Tensor, run: Callable[[Tensor], Any]) -> Any:
        """What the network makes of x."""
        return run(x)


class ShardedSpace(WeightSpace):
    """A weight space in pieces, sharded over the processes of the default group, that a model uses in place of its own
    until `restored`.

    What it gives for θ(λ) is the preference alone; `ParetoModel.call` then lets it run the network.
    """

    def __init__(self, model: ParetoModel, device: torch.device) -> None:
        super().__init__()
        whole = model.space.cpu()
        self._layers = _layers(model)
        scalars = [name for name, value in whole.named_parameters() if value.dim() == 0]
        if scalars:
            raise SpecError(
                "training.distributed.parameters: the network has weights that are single numbers, which cannot be "
                f"sharded ({', '.join(scalars)}); use replicated, and optimizer sharded"
            )
        if whole.pieces([]) is None:
            raise SpecError(
                f"training.distributed.parameters: {type(whole).__name__} with these options does not make θ(λ) "
                "layer by layer, so its parameters cannot be sharded; use replicated, and optimizer sharded"
            )
        mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
        self._device = device
        units, twins = [], []
        for layer in self._layers:  # one after the other: never are all whole twice
            pieces = whole.pieces([layer.names])
            assert pieces is not None, "asked before"
            twins.append(_empty(pieces[0], "meta"))
            unit = _Unit(pieces[0].to(device))
            for parameter in unit.parameters():  # FSDP knows no other memory order
                parameter.data = parameter.data.contiguous()
            fully_shard(unit, mesh=mesh)
            units.append(unit)
        # The whole space and its pieces without numbers: names, shapes, memory orders. In lists, for they are no
        # submodules: their parameters are not what is trained.
        self._forms, self._twins = [_empty(whole, "meta")], [twins]
        self.root = _Root(units)
        fully_shard(self.root, mesh=mesh)
        self._preference = torch.empty(0)
        self._contexts: list[contextlib.AbstractContextManager[Any]] = []
        self._hooks = [
            handle
            for layer, unit in zip(self._layers, units, strict=True)
            for handle in (
                layer.module.register_forward_pre_hook(self._entering(layer, unit)),
                layer.module.register_forward_hook(self._leaving(layer), always_call=True),
            )
        ]

    @property
    def units(self) -> list[_Unit]:
        """The pieces, sharded."""
        return cast("list[_Unit]", list(self.root.units))

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        """The preference, for `run`."""
        return {PREFERENCE: preference}

    def run(self, network: nn.Module, preference: Tensor, x: Tensor) -> Any:
        """What the network makes of x at a preference."""
        self._preference = preference.detach().to(self._device, non_blocking=True)
        try:
            with warnings.catch_warnings():
                # FSDP warns of views, which must not be changed in place; neither weights nor outputs are.
                warnings.filterwarnings("ignore", message="FSDP2-wrapped module")
                return self.root(x, network)
        finally:
            while self._contexts:  # a layer failed
                self._contexts.pop().__exit__(None, None, None)

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """The groups of the pieces, those of one name as one."""
        return _joined_groups([unit.space for unit in self.units], lr)

    def gathered(self) -> dict[str, Tensor]:
        """The parameters of the whole space, by name, on the host; see `whole`."""
        return self.whole({name: p.detach() for name, p in self.root.named_parameters()})

    def whole(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What belongs to the parameters of the whole space, from what belongs to the shards (by their names in
        `root`), such as their values or the state of an optimizer.

        All processes must call it, and the first gets them. The others get zeros that take no memory.
        """
        first = torch.distributed.get_rank() == 0
        space = _empty(self._forms[0], "cpu") if first else self._forms[0]
        with torch.no_grad():
            for index, twin in enumerate(self._twins[0]):
                piece = _empty(twin, "cpu") if first else twin
                for name, parameter in piece.named_parameters():
                    value = values[f"units.{index}.space.{name}"]
                    full = value.full_tensor() if isinstance(value, DTensor) else value
                    if first:
                        parameter.copy_(full)
                if first:
                    space.absorb([piece])
        return {
            name: parameter.detach() if first else torch.zeros((), dtype=parameter.dtype).expand(parameter.shape)
            for name, parameter in space.named_parameters()
        }

    def shards(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The other way round: what belongs to this process's shards, from what belongs to the whole space."""
        found: dict[str, Tensor] = {}
        space = _empty(self._forms[0], "cpu")
        own = dict(self.root.named_parameters())
        with torch.no_grad():
            for name, parameter in space.named_parameters():
                parameter.copy_(values[name])
            for index, layer in enumerate(self._layers):
                pieces = space.pieces([layer.names])
                assert pieces is not None, "it had them before"
                for name, parameter in pieces[0].named_parameters():
                    at = f"units.{index}.space.{name}"
                    like = cast(DTensor, own[at])
                    full = parameter.detach().to(self._device)
                    found[at] = distribute_tensor(full, like.device_mesh, like.placements)
        return found

    def whole_parameters(self) -> Iterator[tuple[str, torch.Size]]:
        """Names and shapes of the whole space's parameters."""
        for name, parameter in self._forms[0].named_parameters():
            yield name, parameter.shape

    def group_sizes(self) -> list[int]:
        """How many parameters each group of the whole space has."""
        return [len(group["params"]) for group in self._forms[0].parameter_groups(1.0)]

    def order(self, lr: float) -> tuple[list[str], list[str]]:
        """Names of the whole space's parameters, and of the shards, each in the order of their groups."""
        names = {id(p): name for name, p in self._forms[0].named_parameters()}
        whole = [names[id(p)] for group in self._forms[0].parameter_groups(lr) for p in group["params"]]
        own = {id(p): name for name, p in self.root.named_parameters()}
        return whole, [own[id(p)] for group in self.parameter_groups(lr) for p in group["params"]]

    def load(self, values: Mapping[str, Tensor]) -> None:
        """Set the parameters to those of a whole space, by name."""
        own = dict(self.root.named_parameters())
        with torch.no_grad():
            for name, shard in self.shards(values).items():
                cast(DTensor, own[name]).to_local().copy_(cast(DTensor, shard).to_local())

    def restored(self) -> WeightSpace:
        """The whole space, with the values of the shards, on every process; the network is let go."""
        values = self.gathered()
        for handle in self._hooks:
            handle.remove()
        first = torch.distributed.get_rank() == 0
        space = _empty(self._forms[0], self._device)
        for name, parameter in space.named_parameters():
            value = values.pop(name)  # kept no longer than needed
            sent = (
                value.contiguous().to(self._device)
                if first
                else torch.empty(value.shape, dtype=value.dtype, device=self._device)
            )
            torch.distributed.broadcast(sent, 0)
            parameter.data.copy_(sent)
        return space

    def _entering(self, layer: _Layer, unit: _Unit) -> Callable[..., None]:
        def enter(module: nn.Module, arguments: Any) -> None:
            # Asking for the gradient of λ tells FSDP when those of the unit are complete: then they are reduced.
            preference = self._preference.clone().requires_grad_(torch.is_grad_enabled())
            theta = unit(preference)
            for registry, key, name in layer.slots:
                registry[key] = theta[name]
            at = preference.detach()
            context = rematerializing(theta, lambda name: unit.again(at)[name])
            context.__enter__()
            self._contexts.append(cast("contextlib.AbstractContextManager[Any]", context))

        return enter

    def _leaving(self, layer: _Layer) -> Callable[..., None]:
        def leave(module: nn.Module, arguments: Any, result: Any) -> None:
            for registry, key, _ in layer.slots:
                registry[key] = None
            if self._contexts:
                self._contexts.pop().__exit__(None, None, None)

        return leave


@frozen
class _Layer:
    """A module that is called with its weights in place, and where these go."""

    module: nn.Module
    names: list[str]
    slots: list[tuple[dict[str, Any], str, str]]


def _empty(space: WeightSpace, device: torch.device | str) -> WeightSpace:
    """The same space with parameters that have no values yet, on a device: "meta" takes no memory."""
    memo: dict[int, Any] = {
        id(p): nn.Parameter(torch.empty_like(p, device=device), p.requires_grad) for p in space.parameters()
    }
    return copy.deepcopy(space, memo)


def shard_parameters(model: ParetoModel, device: torch.device) -> ShardedSpace:
    """Shard the parameters of a model, all of whose processes hold the same ones, on the host or on `device`.

    Raises:
        SpecError: the network or the weight space cannot be taken apart into layers.
    """
    space = ShardedSpace(model, device)
    model.run_by(space, space.run)
    return space


def _layers(model: ParetoModel) -> list[_Layer]:
    """The modules that are called one by one, each with the weights that it and what is inside uses."""
    if model._recurrent:
        raise SpecError("training.distributed.parameters: recurrent layers cannot be sharded; use replicated")
    owners: dict[int, str] = {}
    for prefix, module in model.skeleton.named_modules():
        owners[id(module._parameters)] = prefix
    # Attention uses the weights of its output layer without calling it.
    attention = [name for name, m in model.skeleton.named_modules() if isinstance(m, nn.MultiheadAttention)]
    by_module: dict[str, list[tuple[dict[str, Any], str, str]]] = {}
    users: dict[str, str] = {}
    for registry, key, name in model._slots:
        owner = owners[id(registry)]
        owner = next((a for a in attention if owner == a or owner.startswith(f"{a}.")), owner)
        if users.setdefault(name, owner) != owner:
            raise SpecError(
                f"training.distributed.parameters: '{owner}' and '{users[name]}' share a weight, so that neither can "
                "be sharded by itself; use replicated, and optimizer sharded"
            )
        by_module.setdefault(owner, []).append((registry, key, name))
    return [
        _Layer(model.skeleton.get_submodule(prefix), list(dict.fromkeys(name for _, _, name in slots)), slots)
        for prefix, slots in by_module.items()
    ]


def _joined_groups(spaces: Iterable[WeightSpace], lr: float) -> list[dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for space in spaces:
        for group in space.parameter_groups(lr):
            known = groups.setdefault(group["name"], {**group, "params": []})
            known["params"] += group["params"]
    return [group for group in groups.values() if group["params"]]
