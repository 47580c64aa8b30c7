"""LoRA adapters in the folders that PEFT writes, merged into the network they belong to. PEFT itself is not needed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from moframework.errors import nearest
from moframework.io.tensors import load_state

__all__ = ["ADAPTER", "with_adapter"]

ADAPTER = "adapter_config.json"
"""The file that tells such a folder."""

_PREFIX = "base_model.model."
_FACTOR_A, _FACTOR_B = ".lora_A.weight", ".lora_B.weight"


def with_adapter(base: Mapping[str, Tensor], folder: Path) -> dict[str, Tensor]:
    """`base` with the adapter's products added: W + (α/r) B A, or α/√r where it was trained so (rsLoRA).

    Weights that PEFT saves whole (`modules_to_save`, biases) replace those of the base.

    Args:
        base: state dict of the network that the adapter belongs to.
        folder: with `adapter_config.json` and `adapter_model.safetensors`.

    Raises:
        ValueError: it is another kind of adapter than LoRA, or a weight is not in the base.
    """
    try:
        options: dict[str, Any] = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder / ADAPTER} cannot be read: {error}") from error
    unknown = [key for key in ("use_dora", "rank_pattern", "alpha_pattern") if options.get(key)]
    if options.get("peft_type") != "LORA" or unknown:
        kind = f"options {', '.join(unknown)}" if unknown else f"type {options.get('peft_type')}"
        raise ValueError(f"{folder} is an adapter with {kind}; plain LoRA can be read, others after merging them")
    rank, alpha = int(options["r"]), float(options["lora_alpha"])
    scale = alpha / math.sqrt(rank) if options.get("use_rslora") else alpha / rank
    stored = load_state(folder / "adapter_model.safetensors")
    merged = dict(base)
    for key, value in stored.items():
        name = key.removeprefix(_PREFIX)
        if name.endswith(_FACTOR_B):
            continue
        if name.endswith(_FACTOR_A):
            name = f"{name.removesuffix(_FACTOR_A)}.weight"
            factor = stored.get(key.replace(_FACTOR_A, _FACTOR_B))
            if factor is None:
                raise ValueError(f"{folder}: {key} has no second factor")
            product = _product(value, factor, bool(options.get("fan_in_fan_out")))
        if name not in base:
            guess = nearest(name, base)
            raise ValueError(f"{folder}: {name} is not in the base" + (f" (it has {guess})" if guess else ""))
        if key.endswith(_FACTOR_A):
            merged[name] = base[name] + scale * product.reshape(base[name].shape).to(base[name])
        else:
            merged[name] = value.to(base[name])
    return merged


def _product(a: Tensor, b: Tensor, transposed: bool) -> Tensor:
    """B A of a matrix, or of a convolution whose A has the kernel and whose B is 1×1."""
    product = b.flatten(1).float() @ a.flatten(1).float()
    return product.T if transposed else product
