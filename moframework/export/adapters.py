"""Low-rank adapters as those of PEFT: the shared network as `base.safetensors`, and a folder with an adapter for each
task. Needs the extra `peft`.

PEFT's adapter of a layer is W0 + s B A, with s = `lora_alpha` / `r` (Hu et al., arXiv 2106.09685). One for each task,
all of them active at once and scaled by λ_t, is θ(λ) = θ0 + (α/r) Σ_t λ_t B_t A_t.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn

from moframework.backbones.base import named_outputs
from moframework.errors import RunError
from moframework.export.networks import PREFERENCE_INPUT, Inputs
from moframework.export.program import quiet
from moframework.export.tensors import save_state, state_of
from moframework.inputs.calling import called
from moframework.io.tensors import load_state, save_tensors
from moframework.model import ParetoModel
from moframework.model.operating_point import merged_network
from moframework.weights.adapted import Adapter
from moframework.weights.low_rank import LowRankSpace
from moframework.weights.restricted import RestrictedSpace

__all__ = ["load_adapters", "save_adapters"]

_BASE = "base.safetensors"
_TENSORS = "adapter_model.safetensors"
_LAYERS = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@frozen(eq=False)
class _Layer:
    """A layer that has adapters, and the factors of each task.

    Attributes:
        name: of the module.
        rank: r of PEFT's adapters.
        factors: for each task the tensors of PEFT's file, by what follows the module's name in their keys.
    """

    name: str
    rank: int
    factors: list[dict[str, Tensor]]


def save_adapters(model: ParetoModel, folder: Path) -> dict[str, Any]:
    """Write the adapters of a model.

    Returns:
        what the card tells of them: `adapters`, the rank of each layer, and `tied` where weights are.

    Raises:
        RunError: the model has no low-rank adapters, or some that PEFT has no form for.
    """
    layers = _layers(model)
    space = _space(model)
    folder.mkdir()
    theta = {**space.unadapted(), **{each.name: base for each, base, *_ in space.adapters(_center(model))}}
    base = state_of(merged_network(model.network, theta))
    save_state(base, folder / _BASE)
    for t, task in enumerate(model.tasks):
        own = folder / task
        own.mkdir()
        tensors = {
            f"base_model.model.{layer.name}.{key}": value.detach().cpu().contiguous().clone()
            for layer in layers
            for key, value in layer.factors[t].items()
        }
        save_tensors(own / _TENSORS, tensors)
        _config(layers, space.scale).save_pretrained(own)
    ranks = {layer.name: layer.rank for layer in layers}
    return {"adapters": ranks, **({"tied": base.tied} if base.tied else {})}


def _config(layers: list[_Layer], scale: float) -> Any:
    """PEFT's options. Names are anchored: PEFT also takes them for the ends of longer ones."""
    peft = importlib.import_module("peft")
    rank = min(layer.rank for layer in layers)
    other = {f"^{re.escape(layer.name)}$": layer.rank for layer in layers if layer.rank != rank}
    return peft.LoraConfig(
        r=rank,
        lora_alpha=_whole(scale * rank),
        target_modules="|".join(re.escape(layer.name) for layer in layers),
        rank_pattern=other,
        alpha_pattern={name: _whole(scale * own) for name, own in other.items()},
        inference_mode=True,
    )


def _whole(number: float) -> float:
    return int(number) if number == int(number) else number


def _space(model: ParetoModel) -> LowRankSpace:
    if isinstance(model.space, RestrictedSpace):
        raise RunError(
            "the dial of this model is limited by constraints, and adapters of PEFT, one for each task, have the whole "
            "dial. Export it to a file: --to NAME.pt2, NAME.onnx or NAME.safetensors"
        )
    if not isinstance(model.space, LowRankSpace):
        raise RunError(
            f"only low-rank adapters (palora, lorpman) are adapters of PEFT, and this model has none "
            f"({type(model.space).__name__}). Export it to a file: --to NAME.pt2, NAME.onnx or NAME.safetensors"
        )
    return model.space


def _center(model: ParetoModel) -> Tensor:
    return torch.full((1, len(model.tasks)), 1 / len(model.tasks))


def _layers(model: ParetoModel) -> list[_Layer]:
    """The layers with adapters. Raises `RunError`, all of them at once, where PEFT has no such adapter."""
    strange = [task for task in model.tasks if not re.fullmatch(r"[\w-]+", task)]
    if strange:
        raise RunError(f"PEFT names adapters by letters, digits, - and _, which the task '{strange[0]}' is not")
    found, faults = [], []
    for adapter, _, b, a, _ in _space(model).adapters(_center(model)):
        name, _, key = adapter.name.rpartition(".")
        owners = model.network.owners(adapter.name)
        fault = _fault(name, key, owners)
        if fault is not None:
            faults.append(f"{adapter.name} ({fault})")
            continue
        m, q, module = len(model.tasks), adapter.inner, owners[0][0]
        pairs = [(a[t * q : (t + 1) * q], b[:, t * q : (t + 1) * q]) for t in range(m)]
        factors = [_factors(module, adapter, *pair) for pair in pairs]
        found.append(_Layer(name, len(next(iter(factors[0].values()))), factors))
    if faults:
        raise RunError(
            f"PEFT has no adapters for {'; '.join(faults[:5])}"
            + (f"; and {len(faults) - 5} more" if len(faults) > 5 else "")
            + ". Export the model to NAME.pt2, NAME.onnx or NAME.safetensors"
        )
    return found


def _fault(name: str, key: str, owners: list[tuple[nn.Module, str]]) -> str | None:
    """Why PEFT has no adapter for a weight; None where it has."""
    module = owners[0][0]
    if key != "weight" or not isinstance(module, _LAYERS):
        return f"a weight of {type(module).__name__}"
    if not name:
        return "the network is this layer alone"
    if len(owners) > 1:
        return "tied to another layer's weight"
    if getattr(module, "groups", 1) > 1:
        return "a convolution in groups"
    return None


def _factors(module: nn.Module, adapter: Adapter, a: Tensor, b: Tensor) -> dict[str, Tensor]:
    """PEFT's tensors for A (q, columns) and B (rows, q) of one task, first the one with a row for each of its ranks."""
    if isinstance(module, nn.Linear):
        return {"lora_A.weight": a, "lora_B.weight": b}
    if isinstance(module, nn.Embedding):  # of which PEFT adapts the transpose
        return {"lora_embedding_A": b.t(), "lora_embedding_B": a.t()}
    before, after = _as_matrices(adapter, a, b)
    places = (1,) * (len(adapter.shape) - 2)
    return {
        "lora_A.weight": before.view(-1, *adapter.shape[1:]),
        "lora_B.weight": after.view(*after.shape, *places),
    }


def _as_matrices(adapter: Adapter, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """A (r, in·k·k) and B (out, r) whose product is a convolution's adapter, whatever its form.

    Where each output has k chunks, a row of B for each, A is there once for each of them: block by block.
    """
    outputs, columns = adapter.shape[0], math.prod(adapter.shape[1:])
    chunks = adapter.rows // outputs
    before, after = _blocks(a, chunks), b.reshape(outputs, -1)
    if adapter.order is not None:
        axes = adapter.order[1:]
        before = before.view(-1, *(adapter.shape[axis] for axis in axes))
        before = before.permute(0, *(1 + axes.index(axis) for axis in range(1, len(adapter.shape)))).flatten(1)
    if len(before) <= min(outputs, columns):
        return before, after
    product = after @ before  # whose rank cannot be larger than its sides
    if outputs <= columns:
        return product, torch.eye(outputs, dtype=product.dtype, device=product.device)
    return torch.eye(columns, dtype=product.dtype, device=product.device), product


def _blocks(a: Tensor, count: int) -> Tensor:
    """A matrix with `count` times A on its diagonal."""
    rows, columns = a.shape
    made = a.new_zeros(count, rows, count, columns)
    for i in range(count):
        made[i, :, i] = a
    return made.view(count * rows, count * columns)


def load_adapters(
    folder: Path, model: ParetoModel, inputs: Inputs
) -> Callable[[dict[str, Tensor]], Mapping[str, Tensor]]:
    """What a fresh network computes with the adapters in a folder, by PEFT."""
    peft = importlib.import_module("peft")
    first, *others = model.tasks
    with torch.random.fork_rng(devices=[]):
        network = model.recipe.make().eval()
    state = load_state(folder / _BASE)
    missing = network.load_state_dict(state, strict=False).missing_keys
    assert set(missing) <= set(model.network.aliases), missing
    with quiet():
        adapted: Any = peft.PeftModel.from_pretrained(network, folder / first, adapter_name=first)
        for task in others:
            adapted.load_adapter(folder / task, adapter_name=task)
        adapted.base_model.set_adapter(list(model.tasks), inference_mode=True)

    def run(given: dict[str, Tensor]) -> Mapping[str, Tensor]:
        for module in adapted.modules():
            for task, weight in zip(model.tasks, given[PREFERENCE_INPUT].tolist(), strict=True):
                if hasattr(module, "set_scale"):
                    module.set_scale(task, weight)
        x = inputs.tree([given[name] for name in inputs.names])
        return named_outputs(called(adapted, x, model.network.how), tuple(model.recipe.outputs))

    return run
