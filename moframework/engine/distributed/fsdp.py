"""FSDP for networks that do not fit: the weight space is sharded over processes, and θ(λ) is made layer by layer.

A weight space makes θ(λ) at once, from all its parameters. Where these are sharded, that would bring the whole network
onto every device, and twice. Here the space is split by layer (`ShardableSpace`), and the space of each layer is an
FSDP2 module (`torch.distributed.fsdp.fully_shard`): it is unsharded when its layer runs, θ of the layer is made, and it
is resharded. θ itself does not stay either: what autograd would keep of it is made again in the backward pass, from
parameters unsharded again. So a device holds, at any time,

    its shard of parameters, gradients and optimizer state  +  one layer in full  +  activations,

for one more all-gather and merge of each layer, in the backward pass of each preference.

Sources: Zhao et al., PyTorch FSDP, VLDB 2023, arXiv 2304.11277; Rajbhandari et al., ZeRO (stage 3), SC 2020, arXiv
1910.02054.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, cast, runtime_checkable

import torch
from attrs import frozen
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from moframework.errors import SpecError
from moframework.inputs.trees import Tree
from moframework.layers.rematerialized import rematerializing
from moframework.model import PREFERENCE, ParetoModel
from moframework.weights import WeightSpace

__all__ = ["ShardableSpace", "ShardedSpace", "shard_parameters"]


@runtime_checkable
class ShardableSpace(Protocol):
    """What a weight space offers, beside `WeightSpace`, to be sharded: it makes θ(λ) layer by layer."""

    def split_by_layer(self, layers: Sequence[Sequence[str]]) -> list[WeightSpace] | None:
        """One space for each layer, which gives θ(λ) of the layer's names and has parameters of its own, with the
        values of this one's. None where a penalty or a schedule of the space is about all layers.

        Args:
            layers: names of θ, each at most once.
        """

    def load_layers(self, spaces: Sequence[WeightSpace]) -> None:
        """Take over the values of spaces that `split_by_layer` gave, in place."""


@frozen
class _Layer:
    """A module that is called with its weights in place, and where these go."""

    module: nn.Module
    names: list[str]
    slots: list[tuple[dict[str, Any], str, str]]

    def fill(self, value: Callable[[str], Any]) -> None:
        """Put values, by name, where the weights go."""
        for registry, key, name in self.slots:
            registry[key] = value(name)


class _Absent(Tensor):
    """Stands for a weight while its layer does not run, when nothing may read it. Raises `SpecError`."""

    weight: str

    @staticmethod
    def __new__(cls, weight: str) -> _Absent:
        made = Tensor._make_subclass(cls, torch.empty(0, device="meta"))
        made.weight = weight
        return made

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        read = next((each.weight for each in args if isinstance(each, cls)), "a weight")
        raise SpecError(
            f"training.distributed.parameters: the network reads {read} outside the layer that it belongs to, where it "
            "is not unsharded; use replicated, and optimizer sharded"
        )


class _Unit(nn.Module):
    """An FSDP unit: the weight space of one layer."""

    def __init__(self, space: WeightSpace) -> None:
        super().__init__()
        self.space = space

    def forward(self, preference: Tensor) -> dict[str, Tensor]:
        """θ(λ) of the layer, in memory of its own: that of the parameters is freed at once."""
        own = {id(parameter) for parameter in self.parameters()}
        return {k: v.clone() if id(v) in own else v for k, v in self.space.weights(preference).items()}

    def recompute(self, preference: Tensor) -> dict[str, Tensor]:
        """θ(λ) once more, in the backward pass."""
        cast(FSDPModule, self).unshard()
        return cast("dict[str, Tensor]", self(preference))


class _Root(nn.Module):
    """All units, and the forward pass of the network that calls them."""

    def __init__(self, units: Iterable[_Unit]) -> None:
        super().__init__()
        self.units = nn.ModuleList(units)

    def forward(self, x: Tree, network: Callable[[Tree], Any]) -> Any:
        """What the network makes of x."""
        return network(x)


class ShardedSpace(WeightSpace):
    """A weight space sharded over the ranks of the default group, which a model uses in place of its own until
    `unsharded`.

    What it gives for θ(λ) is the preference alone; `ParetoModel.call` then lets it run the network. *Full* is what
    belongs to the parameters of the space before it was sharded, and goes by their names; the state dict is so too,
    which all ranks must ask for.

    Attributes:
        root: the FSDP root module, whose parameters are the shards.
        units: the sharded spaces of the layers.
        full_shapes: shapes of the full parameters, by name.
        full_groups: names of the full parameters, in the groups and the order that an optimizer has them.
    """

    def __init__(self, model: ParetoModel, device: torch.device) -> None:
        super().__init__()
        full = model.space.cpu()
        self._device = device
        self._layers = _layers(model)
        _check_shardable(full)
        names = {id(parameter): name for name, parameter in full.named_parameters()}
        self.full_shapes = {name: parameter.shape for name, parameter in full.named_parameters()}
        self.full_groups = [[names[id(p)] for p in group["params"]] for group in full.parameter_groups(1.0)]
        mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
        # No attribute, so that it is no module of this one.
        self._full = partial(_copy, _copy(full, _empty_on("meta")))
        self.units: list[_Unit] = []
        for layer in self._layers:  # one after the other: never are all in full twice
            self.units.append(_fsdp_unit(_layer_space(full, layer).to(device), mesh))
        self.root = _Root(self.units)
        fully_shard(self.root, mesh=mesh)
        self._preference = torch.empty(0)
        self._contexts: list[contextlib.AbstractContextManager[Any]] = []
        self.register_state_dict_post_hook(ShardedSpace._give_full)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(ShardedSpace._take_full)  # type: ignore[no-untyped-call]
        self._hooks = []
        for layer, unit in zip(self._layers, self.units, strict=True):
            self._hooks.append(layer.module.register_forward_pre_hook(partial(self._enter, layer, unit)))
            self._hooks.append(layer.module.register_forward_hook(partial(self._leave, layer), always_call=True))

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        """The preference, for `run`."""
        return {PREFERENCE: preference}

    def run(self, network: Callable[[Tree], Any], preference: Tensor, x: Tree) -> Any:
        """What the network makes of x at a preference."""
        self._preference = preference.detach().to(self._device, non_blocking=True)
        for layer in self._layers:
            layer.fill(_Absent)
        try:
            with warnings.catch_warnings():
                # FSDP warns of views, which must not be changed in place; neither weights nor outputs are.
                warnings.filterwarnings("ignore", message="FSDP2-wrapped module")
                return self.root(x, network)
        finally:
            while self._contexts:  # a layer failed
                self._contexts.pop().__exit__(None, None, None)
            for layer in self._layers:
                layer.fill(lambda name: None)

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """The groups of all layers, those of one name as one."""
        groups: dict[str, dict[str, Any]] = {}
        for unit in self.units:
            for group in unit.space.parameter_groups(lr):
                groups.setdefault(group["name"], {**group, "params": []})["params"].extend(group["params"])
        return [group for group in groups.values() if group["params"]]

    def shard_owners(self) -> dict[str, str]:
        """Of which full parameter each shard (by its name in `root`) is a part."""
        numbers = itertools.count()
        tagged = self._full(lambda p: torch.full((), next(numbers), dtype=p.dtype).expand(p.shape))
        names = {float(p.detach().flatten()[0]): name for name, p in tagged.named_parameters()}
        assert len(names) == len(list(tagged.parameters())), "a dtype that has too few numbers"
        return {
            _shard_name(index, name): names[float(parameter.detach().flatten()[0])]
            for index, layer in enumerate(self._layers)
            for name, parameter in _layer_space(tagged, layer).named_parameters()
        }

    def unshard_values(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What belongs to the full parameters, on the host, from what belongs to the shards (by their names in `root`),
        such as their values or the state of an optimizer.

        All ranks must call it, and rank 0 gets the values. The others get tensors on the meta device.
        """
        full = self._full_space(values, "cpu" if torch.distributed.get_rank() == 0 else "meta")
        return {name: parameter.detach() for name, parameter in full.named_parameters()}

    def shard_values(self, values: Mapping[str, Tensor]) -> dict[str, DTensor]:
        """The other way round: what belongs to the shards, from what belongs to the full parameters. All ranks must
        call it."""
        full = self._full(_empty_on("cpu"))
        with torch.no_grad():
            for name, parameter in full.named_parameters():
                parameter.copy_(values[name])
        shards = cast("dict[str, DTensor]", dict(self.root.named_parameters()))
        found = {}
        for index, layer in enumerate(self._layers):
            for name, parameter in _layer_space(full, layer).named_parameters():
                like = shards[_shard_name(index, name)]
                value = parameter.detach().to(self._device)
                found[_shard_name(index, name)] = distribute_tensor(value, like.device_mesh, like.placements)
        return found

    @staticmethod
    def clip_gradients(parameters: Sequence[Tensor], norm: float) -> None:
        """Scale the gradients of parameters, of which each rank has a shard or all, so that their Euclidean norm is at
        most `norm`."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if not gradients:  # of a step that is skipped, by all ranks alike
            return
        sharded = [g.to_local() for g in gradients if isinstance(g, DTensor)]
        full = [g for g in gradients if not isinstance(g, DTensor)]
        squares = torch.stack([g.square().sum() for g in sharded] or [gradients[0].new_zeros(())]).sum()
        torch.distributed.all_reduce(squares)
        for gradient in full:
            squares = squares + gradient.square().sum()
        factor = (norm / (squares.sqrt() + 1e-6)).clamp(max=1.0)
        for gradient in (*sharded, *full):
            gradient.mul_(factor)

    def unsharded(self) -> WeightSpace:
        """The full space, with the values of the shards, on every rank; the network is let go."""
        for handle in self._hooks:
            handle.remove()
        return self._full_space({name: p.detach() for name, p in self.root.named_parameters()}, self._device)

    @torch.no_grad()
    def _full_space(self, values: Mapping[str, Tensor], device: torch.device | str) -> WeightSpace:
        """The full space with values that belong to the shards, on a device; "meta" keeps none."""
        full = self._full(_empty_on(device))
        for index, layer in enumerate(self._layers):
            space = _layer_space(full, layer)
            for name, parameter in space.named_parameters():
                value = values[_shard_name(index, name)]
                parameter.copy_(value.full_tensor() if isinstance(value, DTensor) else value)
            cast(ShardableSpace, full).load_layers([space])
        return full

    def _give_full(self, state: dict[str, Any], prefix: str, metadata: Any) -> None:
        """Put the full parameters, as `unshard_values` gives them, in the place of the shards."""
        shards = {name: state.pop(f"{prefix}root.{name}") for name, _ in self.root.named_parameters()}
        state.update({prefix + name: value for name, value in self.unshard_values(shards).items()})

    def _take_full(self, state: dict[str, Any], prefix: str, *_: Any) -> None:
        """The other way round."""
        shards = self.shard_values({name: state.pop(prefix + name) for name in self.full_shapes})
        state.update({f"{prefix}root.{name}": value for name, value in shards.items()})

    def _enter(self, layer: _Layer, unit: _Unit, module: nn.Module, arguments: Any) -> None:
        """Before a layer runs: its weights go where it reads them."""
        try:
            # Asking for the gradient of λ tells FSDP when those of the unit are complete: then they are reduced.
            preference = self._preference.clone().requires_grad_(torch.is_grad_enabled())
        except RuntimeError as error:
            raise SpecError(
                f"training.distributed.parameters: the layer of {layer.names[0]} runs inside a transform such as "
                "vmap, where it cannot be unsharded; use replicated, and optimizer sharded"
            ) from error
        theta = unit(preference)
        layer.fill(theta.__getitem__)
        at = preference.detach()
        context = rematerializing(theta, lambda name: unit.recompute(at)[name])
        context.__enter__()
        self._contexts.append(cast("contextlib.AbstractContextManager[Any]", context))

    def _leave(self, layer: _Layer, module: nn.Module, arguments: Any, result: Any) -> None:
        """After a layer has run, or failed."""
        layer.fill(_Absent)
        if self._contexts:
            self._contexts.pop().__exit__(None, None, None)


def shard_parameters(model: ParetoModel, device: torch.device) -> ShardedSpace:
    """Shard the parameters of a model, all of whose ranks hold the same ones, on the host or on `device`.

    Raises:
        SpecError: the network or the weight space cannot be split by layer. Weights that the network reads outside
            their layers are only known when it runs: then its first forward pass raises it.
    """
    space = ShardedSpace(model, device)
    model.replace_space(space, space.run)
    return space


def _check_shardable(space: WeightSpace) -> None:
    """Refuse a weight space that cannot be sharded. Raises `SpecError`."""
    scalars = [name for name, value in space.named_parameters() if value.dim() == 0]
    if scalars:
        raise SpecError(
            "training.distributed.parameters: the network has weights that are single numbers, which cannot be "
            f"sharded ({', '.join(scalars)}); use replicated, and optimizer sharded"
        )
    if not isinstance(space, ShardableSpace) or space.split_by_layer([]) is None:
        raise SpecError(
            f"training.distributed.parameters: {type(space).__name__} with these options does not make θ(λ) "
            "layer by layer, so its parameters cannot be sharded; use replicated, and optimizer sharded"
        )


def _layers(model: ParetoModel) -> list[_Layer]:
    """The modules that are called one by one, each with the weights that it and what is inside uses."""
    for kept in model.network.beside.where[:1]:
        raise SpecError(f"training.distributed.parameters: {kept} cannot be sharded; use replicated")
    owners: dict[int, str] = {}
    for prefix, module in model.skeleton.named_modules():
        owners[id(module._parameters)] = prefix
    # Attention uses the weights of its output layer without calling it.
    attention = [name for name, m in model.skeleton.named_modules() if isinstance(m, nn.MultiheadAttention)]
    by_module: dict[str, list[tuple[dict[str, Any], str, str]]] = {}
    users: dict[str, str] = {}
    for registry, key, name in model.network.slots:
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


def _layer_space(full: WeightSpace, layer: _Layer) -> WeightSpace:
    spaces = cast(ShardableSpace, full).split_by_layer([layer.names])
    assert spaces is not None, "checked before"
    return spaces[0]


def _fsdp_unit(space: WeightSpace, mesh: DeviceMesh) -> _Unit:
    unit = _Unit(space)
    for parameter in unit.parameters():  # FSDP knows no other memory order
        parameter.data = parameter.data.contiguous()
    fully_shard(unit, mesh=mesh)
    return unit


def _shard_name(index: int, name: str) -> str:
    """What `ShardedSpace.root` calls a parameter of the space of a layer."""
    return f"units.{index}.space.{name}"


def _copy(space: WeightSpace, value: Callable[[Tensor], Tensor]) -> WeightSpace:
    """The same space with other values of its parameters."""
    memo: dict[int, Any] = {id(p): nn.Parameter(value(p), p.requires_grad) for p in space.parameters()}
    return copy.deepcopy(space, memo)


def _empty_on(device: torch.device | str) -> Callable[[Tensor], Tensor]:
    return lambda parameter: torch.empty_like(parameter, device=device)
