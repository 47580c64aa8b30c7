"""Networks as `.safetensors` files: weights by the names that the network itself gives them.

At one preference a file holds a state dict. With the dial it holds one for each task, where θ(λ) is their sum with the
weights λ: so it is with low-rank adapters and in a convex hull, θ(λ) = Σ_t λ_t θ(e_t), since Σ_t λ_t = 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from attrs import frozen
from torch import Tensor, nn
from torch.func import functional_call

from moframework.backbones.base import named_outputs
from moframework.errors import RunError
from moframework.export.networks import PREFERENCE_INPUT, Inputs
from moframework.inputs import Tree
from moframework.inputs.calling import arguments_of
from moframework.inputs.trees import replaced_leaf
from moframework.io.tensors import load_state, save_tensors
from moframework.model import ParetoModel
from moframework.weights.conditioned import ConditionedNetwork
from moframework.weights.convex_hull import ConvexHullSpace
from moframework.weights.low_rank import LowRankSpace
from moframework.weights.remapped import unmapped

__all__ = ["JOINED", "State", "load_fixed", "load_sum", "save_state", "state_of", "sum_of"]

JOINED = "joined_preference"
"""What is joined to every sample of a conditioned network, as one more tensor of the file: (1, m), or (1, m, h, w), to
be enlarged to the size of the images (nearest)."""

_SEPARATOR = "/"


@frozen
class State:
    """Tensors to be written.

    Attributes:
        tensors: by name.
        tied: further names of tensors, and the name that each is written under.
    """

    tensors: dict[str, Tensor]
    tied: dict[str, str]


def state_of(network: nn.Module) -> State:
    """The state dict of a plain network; of one that is conditioned on λ that of the network inside, and `JOINED`."""
    if isinstance(network, ConditionedNetwork):
        inside = state_of(network.network)
        rows = network.preference.view(-1, network.preference.shape[-1], 1, 1)
        joined = rows.flatten(1) if network.enlarge is None else network.enlarge(rows)
        return State({**inside.tensors, JOINED: joined.detach().clone()}, inside.tied)
    own = network.state_dict(keep_vars=True)
    first: dict[int, str] = {}
    tied = {name: at for name, value in own.items() if (at := first.setdefault(id(value), name)) != name}
    return State({name: value.detach() for name, value in own.items() if name not in tied}, tied)


def sum_of(model: ParetoModel) -> State:
    """For each task its weights under `TASK/NAME`, and under `NAME` what is the same for all λ.

    Raises:
        RunError: it is not known that θ(λ) is such a sum. (To try it at some λ would not do: where a hypernetwork has
            ReLUs, θ(λ) is one in part of the simplex.)
    """
    if not isinstance(unmapped(model.space), LowRankSpace | ConvexHullSpace):
        raise RunError(
            f"the weights of this model ({type(model.space).__name__}) are no weighted sum of one set for each task, "
            "so a file of tensors cannot keep the dial. Take --to NAME.pt2 or NAME.onnx, or give --preference"
        )
    vertices = [model.weights(row) for row in torch.eye(len(model.tasks))]
    names = list(vertices[0])
    varying = [name for name in names if any(not torch.equal(v[name], vertices[0][name]) for v in vertices[1:])]
    persistent = set(model.skeleton.state_dict())
    buffers = {name: value for name, value in model.skeleton.named_buffers() if name in persistent}
    shared = {name: vertices[0][name] for name in names if name not in varying}
    own = {
        f"{task}{_SEPARATOR}{name}": vertex[name]
        for task, vertex in zip(model.tasks, vertices, strict=True)
        for name in varying
    }
    return State({name: v.detach() for name, v in (buffers | shared | own).items()}, dict(model.network.aliases))


def _combined(preference: Tensor, values: list[Tensor]) -> Tensor:
    stacked = torch.stack(values)
    combined: Tensor = torch.tensordot(preference.to(stacked.dtype), stacked, dims=1)
    return combined


def save_state(state: State, path: Path) -> None:
    """Write tensors, in plain memory order."""
    save_tensors(path, {name: value.cpu().contiguous().clone() for name, value in state.tensors.items()})


def load_fixed(
    path: Path, model: ParetoModel, inputs: Inputs, tied: Mapping[str, str]
) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    """What a fresh network computes with the state dict in a file."""
    network, state = _fresh(model), load_state(path)
    joined = state.pop(JOINED, None)
    plain = network.network if isinstance(network, ConditionedNetwork) else network
    plain.load_state_dict({**state, **{name: state[first] for name, first in tied.items()}})

    def run(given: dict[str, Tensor]) -> dict[str, Tensor]:
        x = inputs.tree([given[name] for name in inputs.names])
        how = model.recipe.inputs.call
        if isinstance(network, ConditionedNetwork):
            assert joined is not None, "written with it"
            x, how = replaced_leaf(x, network.entry, lambda own: _joined(own, joined)), network.call
        return _outputs(model, plain, {}, x, how)

    return run


def _joined(own: Tensor, joined: Tensor) -> Tensor:
    """As the model card tells it."""
    if joined.dim() == 4:
        joined = nn.functional.interpolate(joined, size=own.shape[-2:])
    return torch.cat([own, joined.to(own.dtype).expand(own.shape[0], *joined.shape[1:])], dim=1)


def load_sum(path: Path, model: ParetoModel, inputs: Inputs) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    """What a fresh network computes with the sums of the tensors in a file."""
    network, state = _fresh(model), load_state(path)
    prefixes = [f"{task}{_SEPARATOR}" for task in model.tasks]
    varying = [name.removeprefix(prefixes[0]) for name in state if name.startswith(prefixes[0])]
    shared = {name: value for name, value in state.items() if not name.startswith(tuple(prefixes))}

    def run(given: dict[str, Tensor]) -> dict[str, Tensor]:
        preference = given[PREFERENCE_INPUT]
        theta = {name: _combined(preference, [state[prefix + name] for prefix in prefixes]) for name in varying}
        x = inputs.tree([given[name] for name in inputs.names])
        return _outputs(model, network, {**shared, **theta}, x, model.network.how)

    return run


def _fresh(model: ParetoModel) -> nn.Module:
    """A network as whoever uses the file would make it."""
    with torch.random.fork_rng(devices=[]):
        return model.recipe.make().eval()


def _outputs(
    model: ParetoModel, network: nn.Module, weights: dict[str, Tensor], x: Tree, how: str
) -> dict[str, Tensor]:
    positional, named = arguments_of(x, how)  # type: ignore[arg-type]
    return named_outputs(functional_call(network, weights, positional, named), tuple(model.recipe.outputs))
