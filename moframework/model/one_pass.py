"""Which networks go through a batch with a preference for each sample in one pass, and how: see `sample_weights`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, cast

import torch
from attrs import field, frozen
from torch import Tensor, nn

from moframework.model.coefficients import Coefficients
from moframework.model.kept import Kept, entries_of
from moframework.model.protocol import Model
from moframework.model.sample_mixing import attention_of, mixing
from moframework.model.sample_weights import NORMALIZATIONS, Factored, Members, Run, forwards, layer_forward
from moframework.weights.adapted import CONVOLUTIONS
from moframework.weights.convex_hull import ConvexHullSpace
from moframework.weights.low_rank import AdapterSpace
from moframework.weights.remapped import RemappedSpace, unmapped

__all__ = ["OnePass"]

_LAYERS = (nn.Linear, nn.Embedding, *CONVOLUTIONS, *NORMALIZATIONS)
# Parameters (1, ...) that modules of torchvision add to what each sample has, or put beside it.
_JOINED = {("VisionTransformer", "class_token"), ("Encoder", "pos_embedding")}

Slots = dict[str, tuple[str, str | None]]
"""The names in θ(λ) of a layer's weight and bias: of attention under `in_proj` and `out_proj`, else under ``."""


@frozen(eq=False)
class Prepared:
    """What a pass needs of the weights: nothing of it depends on the batch but the coefficients, which all layers have
    in common.

    Attributes:
        theta: what is put in the network's places.
        runs: what layers do in the place of their `forward`.
        joined: what stands for parameters (1, ...) that get a value for each sample.
        coefficients: what preferences become, for each device and type.
        scale: what preferences are multiplied with in it.
    """

    theta: dict[str, Tensor]
    runs: dict[nn.Module, Run]
    joined: dict[str, Members]
    coefficients: dict[tuple[torch.device, torch.dtype], Coefficients]
    scale: float | None

    def update(self, preferences: Tensor) -> None:
        """From now on the samples have these preferences (b, m)."""
        for (device, dtype), own in self.coefficients.items():
            own.update(_coefficients(preferences, device, dtype, self.scale))


@frozen(eq=False)
class OnePass:
    """The layers of a network whose weights depend on λ.

    A copy of a model, and a pickled one, finds its own: this is None in it.

    Attributes:
        space: of the model.
        modules: of the network.
        children: of each module that has some, as its registry has them, and what they are.
        hooks: of modules; nobody has hung anything on one where all of these are empty.
        own: what each module has under `vars`.
        layers: what in each layer depends on λ.
        joined: names of the parameters that modules join to what each sample has.
        times: how many layers with a weight for all samples cost what the costliest does here.
        kept: what passes need of the weights, as long as these stay what they are.
    """

    space: AdapterSpace | ConvexHullSpace
    modules: list[nn.Module]
    layers: dict[nn.Module, Slots]
    joined: list[str]
    times: int
    registries: list[dict[str, nn.Module | None]]
    children: list[nn.Module | None]
    hooks: list[Any]
    own: list[dict[str, Any]]
    kept: Kept[Prepared] = field(factory=Kept)

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        return None

    @classmethod
    def when(cls, model: Model) -> OnePass | str:
        """How a model does it, or why it does not."""
        space, network = unmapped(model.space), model.network
        if not (isinstance(space, ConvexHullSpace) or (isinstance(space, AdapterSpace) and space.by_task)):
            return f"its weights are no combination of a few ({type(space).__name__})"
        if not model.recipe.inputs.is_tensor:
            return "its inputs are not one tensor"
        if network.beside.where:
            return f"it has {network.beside.where[0]}"
        if isinstance(space, AdapterSpace):
            adapted = {each.name: each for each in space.adapted}
            reason, varying = mixing(model, adapted), set(adapted)
            products = [name for name, each in adapted.items() if each.order is None and each.rows != each.shape[0]]
            times = len(model.tasks) if products else 1
        else:
            reason, varying = mixing(model, ()), set(space.members.combined)
            times = len(model.tasks)
        found = reason or _places(model, varying, whole=isinstance(space, ConvexHullSpace))
        if isinstance(found, str):
            return found
        modules = list(model.skeleton.modules())
        registries = [module._modules for module in modules if module._modules]
        return cls(
            space, modules, *found, times, registries=registries, children=entries_of(registries),
            hooks=[hooks for module in modules for hooks in (module._forward_hooks, module._forward_pre_hooks)],
            own=[vars(module) for module in modules],
        )  # fmt: skip

    def fits(self, model: Model) -> bool:
        """Whether a network still is what it was, and nobody has hung something on a module."""
        return (
            unmapped(model.space) is self.space
            and model.skeleton is self.modules[0]
            and entries_of(self.registries) == self.children
            and not any(self.hooks)
            and not any("forward" in own for own in self.own)
        )

    def trains(self) -> bool:
        """Whether a part of the network is in training."""
        return any(own["training"] for own in self.own)

    def __call__(self, model: Model, x: Tensor, preferences: Tensor) -> dict[str, Tensor]:
        """Outputs of the network for x (b, ...) with preferences (b, m), by output key."""
        if isinstance(model.space, RemappedSpace):
            preferences = model.space.inside(preferences)
        adapters = isinstance(self.space, AdapterSpace)
        key = None if preferences.requires_grad else "one pass"
        make = self._of_adapters if adapters else self._of_members
        prepared = self.kept.made(self.space, key, lambda: make(preferences))
        prepared.update(preferences)
        theta = prepared.theta
        if prepared.joined:
            theta = {**theta, **{name: members.value() for name, members in prepared.joined.items()}}
        with forwards(prepared.runs):
            return model.call(theta, x)

    def _of_adapters(self, preferences: Tensor) -> Prepared:
        space = cast(AdapterSpace, self.space)
        theta, stands = space.unadapted(), dict[str, Factored]()
        coefficients: dict[tuple[torch.device, torch.dtype], Coefficients] = {}
        for adapter, base, b, a, _ in space.adapters(preferences):
            at = b.device, b.dtype
            if at not in coefficients:
                coefficients[at] = Coefficients(_coefficients(preferences, *at, space.scale))
            stands[adapter.name] = Factored(adapter, base, b, a, coefficients[at], space.scale)
            theta[adapter.name] = base
        runs = self._runs(lambda weight, bias: stands[weight])
        return Prepared(theta, runs, {}, coefficients, space.scale)

    def _of_members(self, preferences: Tensor) -> Prepared:
        members = cast(ConvexHullSpace, self.space).members.members()
        like = next(value for value in members[0].values() if value.is_floating_point())
        coefficients = Coefficients(_coefficients(preferences, like.device, like.dtype, None))

        def stands(weight: str, bias: str | None) -> Members:
            biases = () if bias is None else [one[bias] for one in members]
            return Members([one[weight] for one in members], biases, coefficients)

        joined = {name: stands(name, None) for name in self.joined}
        return Prepared(dict(members[0]), self._runs(stands), joined, {(like.device, like.dtype): coefficients}, None)

    def _runs(self, stands: Callable[[str, str | None], Any]) -> dict[nn.Module, Run]:
        """What layers do, given what stands for a weight and bias, by their names."""
        return {
            layer: layer_forward(layer, {slot: stands(*names) for slot, names in slots.items()})
            for layer, slots in self.layers.items()
        }


def _coefficients(preferences: Tensor, device: torch.device, dtype: torch.dtype, scale: float | None) -> Tensor:
    moved = preferences.to(device, dtype, non_blocking=True)
    return moved if scale is None else moved * scale


def _places(model: Model, varying: Collection[str], whole: bool) -> tuple[dict[nn.Module, Slots], list[str]] | str:
    """The layers that have the varying parameters of θ(λ), and those of them that are joined to samples.

    Args:
        whole: whether all parameters of a layer have to vary, if one does.

    Returns:
        or what is in the way.
    """
    network, layers, joined = model.network, dict[nn.Module, Slots](), list[str]()
    inside = {id(part): own for own in attention_of(model.skeleton) for part in own.modules()}
    for prefix, module in model.skeleton.named_modules():
        full = {key: f"{prefix}.{key}" if prefix else key for key in module._parameters}
        names = {key: network.aliases.get(name, name) for key, name in full.items()}
        present = {key: name for key, name in names.items() if name in network.trainable}
        own = {key: name for key, name in present.items() if name in varying}
        if not own:
            continue
        if whole and own != present:
            return f"{prefix} is frozen in part"
        attends = inside.get(id(module))
        before = "in_proj_" if attends is module else ""
        slot = "" if attends is None else "in_proj" if before else "out_proj"
        if {(type(module).__name__, key) for key in own} <= _JOINED:
            joined += own.values()
        elif f"{before}weight" not in own or not (attends or _is_linear(module)):
            return f"{next(iter(own.values()))} is not the weight of a layer that is linear in it"
        else:
            layers.setdefault(attends or module, {})[slot] = own[f"{before}weight"], own.get(f"{before}bias")
    return layers, joined


def _is_linear(module: nn.Module) -> bool:
    """Whether a layer is linear in its weight and bias, and reads nothing else of a batch."""
    if isinstance(module, nn.Embedding) and module.max_norm is not None:
        return False
    return type(module) in _LAYERS and getattr(module, "running_mean", module) is not None
