"""Which networks go through a batch with a preference for each sample in one pass, and how: see `sample_weights`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, cast

from attrs import frozen
from torch import Tensor, nn

from moframework.model.protocol import Model
from moframework.model.sample_mixing import attention_of, mixing
from moframework.model.sample_weights import NORMALIZATIONS, Factored, Members, forwards, layer_forward
from moframework.weights.adapters import CONVOLUTIONS, AdapterSpace
from moframework.weights.convex_hull import ConvexHullSpace

__all__ = ["OnePass"]

_LAYERS = (nn.Linear, nn.Embedding, *CONVOLUTIONS, *NORMALIZATIONS)
# Parameters (1, ...) that modules of torchvision add to what each sample has, or put beside it.
_JOINED = {("VisionTransformer", "class_token"), ("Encoder", "pos_embedding")}

Slots = dict[str, tuple[str, str | None]]
"""The names in θ(λ) of a layer's weight and bias: of attention under `in_proj` and `out_proj`, else under ``."""


@frozen(eq=False)
class OnePass:
    """The layers of a network whose weights depend on λ.

    Attributes:
        space: of the model.
        modules: of the network, and the `children` of each, which are looked at again in each pass.
        layers: what in each layer depends on λ.
        joined: names of the parameters that modules join to what each sample has.
        times: how many layers with a weight for all samples cost what the costliest does here.
    """

    space: AdapterSpace | ConvexHullSpace
    modules: list[nn.Module]
    children: list[nn.Module | None]
    layers: dict[nn.Module, Slots]
    joined: list[str]
    times: int

    @classmethod
    def when(cls, model: Model) -> OnePass | str:
        """How a model does it, or why it does not."""
        space, network = model.space, model.network
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
        modules = list(model.skeleton.modules())
        children = [child for module in modules for child in module._modules.values()]
        return found if isinstance(found, str) else cls(space, modules, children, *found, times)

    def fits(self, model: Model) -> bool:
        """Whether a network still is what it was, and nobody has hung something on a module."""
        return (
            model.space is self.space
            and model.skeleton is self.modules[0]
            and [child for m in self.modules for child in m._modules.values()] == self.children
            and not any(m._forward_hooks or m._forward_pre_hooks or "forward" in vars(m) for m in self.modules)
        )

    def __call__(self, model: Model, x: Tensor, preferences: Tensor) -> dict[str, Tensor]:
        """Outputs of the network for x (b, ...) with preferences (b, m), by output key."""
        adapters = isinstance(self.space, AdapterSpace)
        theta, stands = self._of_adapters(preferences) if adapters else self._of_members(preferences)
        runs = {
            layer: layer_forward(layer, {slot: stands(*names) for slot, names in slots.items()})
            for layer, slots in self.layers.items()
        }
        with forwards(runs):
            return model.call(theta, x)

    def _of_adapters(self, preferences: Tensor) -> tuple[dict[str, Tensor], Callable[..., Any]]:
        """What is put in the network's places, and what stands for a weight and bias, by their names."""
        space = cast(AdapterSpace, self.space)
        theta, own = space.unadapted(), {}
        for adapter, base, b, a, factors in space.adapters(preferences):
            own[adapter.name] = Factored(adapter, base, b, a, factors, space.scale)
            theta[adapter.name] = base
        return theta, lambda weight, bias: own[weight]

    def _of_members(self, preferences: Tensor) -> tuple[dict[str, Tensor], Callable[..., Any]]:
        members = cast(ConvexHullSpace, self.space).members.members()
        theta = dict(members[0])
        like = next(value for value in theta.values() if value.is_floating_point())
        coefficients = preferences.to(like.device, like.dtype)

        def stands(weight: str, bias: str | None) -> Members:
            biases = () if bias is None else [one[bias] for one in members]
            return Members([one[weight] for one in members], biases, coefficients)

        for name in self.joined:
            theta[name] = stands(name, None).value()
        return theta, stands


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
