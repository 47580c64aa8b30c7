"""Adapters of PEFT, to start a training from: read from their files, without PEFT.

A folder with `adapter_config.json` holds one adapter: the network's weights plus s B A, with s = r⁻¹ `lora_alpha`, and
the modules and biases that PEFT saves whole (`modules_to_save`, `bias`) in the place of the network's. That is what a
training starts from, or a member that is merged. A folder with such a folder for each task, as `moframework export`
makes it, holds the low-rank adapters of PaLoRA and LORPMAN, and the shared network in `base.safetensors`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from moframework.errors import DataError, nearest
from moframework.io.tensors import load_state
from moframework.weights import WeightSpace
from moframework.weights.low_rank import LowRankSpace
from moframework.weights.remapped import unmapped

__all__ = [
    "BASE", "CONFIG", "Factors", "StoredAdapter", "adapter_folders", "network_state", "put_adapters", "read_adapter",
    "with_adapter",
]  # fmt: skip

CONFIG, BASE = "adapter_config.json", "base.safetensors"
_TENSORS = ("adapter_model.safetensors", "adapter_model.bin")
_PREFIX = "base_model.model."
_KEY = re.compile(r"base_model\.model\.(.+)\.lora_(embedding_)?([AB])(?:\.weight)?")
# What PEFT's own modules around those of the network add to names.
_WRAPPED = re.compile(r"\.base_layer\.|\.modules_to_save\.\w+\.")
# Keys of PEFT's options that change what an adapter computes, and what they are where they change nothing.
_PLAIN: Mapping[str, tuple[Any, ...]] = {
    "use_dora": (False, None), "lora_bias": (False, None), "trainable_token_indices": (None,),
    "layer_replication": (None,), "target_parameters": (None, []), "use_qalora": (False, None),
    "alora_invocation_tokens": (None,),
}  # fmt: skip


@frozen(eq=False)
class Factors:
    """An adapter of one weight, s B A.

    Attributes:
        a: (r, columns).
        b: (rows, r).
        scale: s.
        transposed: the weight's adapter is the transpose of the product, as of embeddings and with `fan_in_fan_out`.
    """

    a: Tensor
    b: Tensor
    scale: float
    transposed: bool = False

    def added(self, weight: Tensor) -> Tensor:
        """A weight with the adapter. Raises `ValueError` where the shapes do not go together."""
        product = self.scale * (self.b.double() @ self.a.double())
        product = product.t() if self.transposed else product
        if product.numel() != weight.numel() or len(product) != weight.shape[0]:
            raise ValueError(f"an adapter of {tuple(product.shape)} does not fit a weight of {tuple(weight.shape)}")
        return (weight.double() + product.reshape(weight.shape)).to(weight.dtype)


@frozen(eq=False)
class StoredAdapter:
    """What an adapter's folder holds.

    Attributes:
        factors: by the name of each weight.
        saved: tensors that take the place of the network's, by name.
    """

    factors: dict[str, Factors]
    saved: dict[str, Tensor]


def adapter_folders(folder: Path) -> dict[str, Path]:
    """The adapters in a folder: itself, under an empty name, or those of folders inside, by the name of each."""
    if (folder / CONFIG).is_file():
        return {"": folder}
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{CONFIG}"))}


def read_adapter(folder: Path) -> StoredAdapter:
    """The adapter in a folder. All that it has and we have not is told at once.

    Raises:
        DataError: it cannot be read, is no LoRA, or does more than one.
    """
    try:
        options = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        path = next((folder / name for name in _TENSORS if (folder / name).is_file()), folder / _TENSORS[0])
        tensors = load_state(path)
    except (OSError, ValueError) as error:
        raise DataError(f"initial: {folder} holds no adapter that can be read: {error}") from error
    _check(folder, options)
    found: dict[str, dict[str, Tensor]] = {}
    saved: dict[str, Tensor] = {}
    for key, value in tensors.items():
        match = _KEY.fullmatch(key)
        if match is None:
            if not key.startswith(_PREFIX) or "lora_" in key:
                raise DataError(f"initial: {path} has the tensor {key}, which is no factor of a LoRA adapter")
            if ".original_module." not in key:  # the network's own, of a module that is saved whole
                saved[_WRAPPED.sub(".", key.removeprefix(_PREFIX))] = value
            continue
        found.setdefault(match[1], {})[match[3]] = value.float()
        if match[2] or options.get("fan_in_fan_out"):
            found[match[1]]["transposed"] = value
    return StoredAdapter({f"{name}.weight": _factors(folder, name, own, options) for name, own in found.items()}, saved)


def _check(folder: Path, options: Any) -> None:
    if not isinstance(options, dict) or options.get("peft_type") != "LORA":
        kind = options.get("peft_type") if isinstance(options, dict) else None
        raise DataError(f"initial: {folder} holds an adapter of PEFT's kind {kind}; those of LoRA can be used")
    further = [key for key, plain in _PLAIN.items() if key in options and options[key] not in plain]
    if further:
        told = ", ".join(f"{key}: {json.dumps(options[key])}" for key in further)
        raise DataError(
            f"initial: the adapter in {folder} does more than W0 + s B A ({told}), which adapters here do not. Merge "
            "it into the network in PEFT (model.merge_and_unload()), and give that network's state dict instead"
        )


def _factors(folder: Path, name: str, parts: Mapping[str, Tensor], options: Mapping[str, Any]) -> Factors:
    if not {"A", "B"} <= set(parts):
        raise DataError(f"initial: the adapter in {folder} has only one factor for {name}")
    a, b = parts["A"].flatten(1), parts["B"].flatten(1)
    rank = len(a)
    alpha = _pattern(options.get("alpha_pattern"), name, options.get("lora_alpha", 8))
    stated = _pattern(options.get("rank_pattern"), name, options.get("r", 8))
    if b.shape[1] != rank or stated != rank:
        raise DataError(
            f"initial: the adapter in {folder} has factors of {tuple(a.shape)} and {tuple(b.shape)} for {name}, whose "
            f"rank is said to be {stated}"
        )
    scale = alpha / math.sqrt(rank) if options.get("use_rslora") else alpha / rank
    return Factors(a, b, scale, "transposed" in parts)


def _pattern(patterns: Any, name: str, default: Any) -> Any:
    """What a pattern says of a module, as PEFT finds it: by the end of its name."""
    for key, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({key})$", name):
            return value
    return default


def with_adapter(state: Mapping[str, Tensor], adapter: StoredAdapter, source: Path) -> dict[str, Tensor]:
    """A state dict with an adapter merged into it. Raises `DataError` where it does not fit."""
    merged, faults = dict(state), []
    found: list[tuple[str, Factors | Tensor]] = [*adapter.factors.items(), *adapter.saved.items()]
    for name, given in found:
        if name not in state:
            guess = nearest(name, state)
            faults.append(f"{name} is not in the network" + (f" (it has {guess})" if guess else ""))
        elif isinstance(given, Factors):
            try:
                merged[name] = given.added(state[name])
            except ValueError as error:
                faults.append(f"{name}: {error}")
        elif given.shape != state[name].shape:
            faults.append(f"{name} has shape {tuple(given.shape)}, the network's is {tuple(state[name].shape)}")
        else:
            merged[name] = given.to(state[name])
    if faults:
        raise DataError(f"initial: the adapter in {source} does not fit the network: {'; '.join(faults[:5])}")
    return merged


@torch.no_grad()
def put_adapters(space: WeightSpace, tasks: Sequence[str], adapters: Mapping[str, StoredAdapter]) -> None:
    """Let a space of low-rank adapters begin with those of each task.

    An adapter of a smaller rank is filled up by rows of A as they were drawn, with columns of B that are zero, so that
    θ(λ) is the same.

    Raises:
        DataError: the space has none, there is not one for each task, or one does not fit, with what to change.
    """
    space = unmapped(space)
    if not isinstance(space, LowRankSpace):
        raise DataError(
            f"initial: adapters for each task are for a solver with low-rank adapters (palora, lorpman), which "
            f"{type(space).__name__} is not. One adapter alone can be given to any solver: name its folder"
        )
    if set(adapters) != set(tasks):
        raise DataError(
            f"initial: there are adapters called {', '.join(sorted(adapters))}, but the tasks are {', '.join(tasks)}: "
            "each task needs a folder of its name"
        )
    known = {each.name for each in space.adapted}
    strange = sorted({name for own in adapters.values() for name in own.factors} - known)
    faults = [f"{name} has no adapter here" for name in strange]
    faults += [
        f"{task} saves {name} whole, which is one for all tasks" for task in tasks for name in adapters[task].saved
    ]
    for each, a, b in zip(space.adapted, space.a, space.b, strict=True):
        for t, task in enumerate(tasks):
            factors = adapters[task].factors.get(each.name)
            own = slice(t * each.inner, (t + 1) * each.inner)
            if factors is None:
                b[:, own] = 0
                continue
            fault = _put(factors, a[own], b[:, own], space.scale)
            faults += [] if fault is None else [f"{task}: {each.name} {fault}"]
    if faults:
        more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise DataError(f"initial: adapters do not fit: {'; '.join(faults[:5])}{more}")


def _put(factors: Factors, a: Tensor, b: Tensor, scale: float) -> str | None:
    """Fill A (q, columns) and B (rows, q) of one task; why that cannot be."""
    first, second = (factors.b.t(), factors.a.t()) if factors.transposed else (factors.a, factors.b)
    if first.shape[1] != a.shape[1] or second.shape[0] != b.shape[0]:
        return (
            f"is {tuple(second.shape)} and {tuple(first.shape)}, but has the form {tuple(b.shape)} and "
            f"{tuple(a.shape)} here: for convolutions set solver.conv: peft"
        )
    rank = len(first)
    if rank > len(a):
        return f"has rank {rank}: set solver.rank: {rank} or more"
    a[:rank] = first
    b.zero_()
    b[:, :rank] = second * (factors.scale / scale)
    return None


def network_state(path: Path) -> Mapping[str, Tensor]:
    """The network that adapters are added to, of its file. Raises `DataError`."""
    try:
        return load_state(path)
    except ValueError as error:
        raise DataError(f"initial: {error}") from error
