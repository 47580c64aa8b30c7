"""A model's folder: `model.safetensors` holds its tensors, `model.json` its recipe.

Reading it executes nothing that it contains. Each file is written whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from safetensors.torch import load_file, save_file
from torch import Tensor

from moframework.backbones.base import Backbone
from moframework.config.structure import build, unstructure
from moframework.errors import RunError
from moframework.io.atomic import atomic_write, write_text
from moframework.model.recipe import Recipe
from moframework.weights import WeightSpaceConfig

__all__ = ["read_model", "write_model"]

_FORMAT = 1
_WEIGHTS, _RECIPE = "model.safetensors", "model.json"


def write_model(folder: Path | str, recipe: Recipe, state: Mapping[str, Tensor]) -> None:
    """Write a model into `folder`, which is made if missing.

    Args:
        folder: where `model.safetensors` and `model.json` go; older ones are replaced.
        recipe: what the model is built from.
        state: its state dict, on any device.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    written = {
        "format": _FORMAT,
        "tasks": list(recipe.tasks),
        "input_shape": list(recipe.input_shape),
        "outputs": recipe.outputs,
        "backbone": unstructure(recipe.backbone.bare()),
        "weights": unstructure(recipe.weights),
    }
    with atomic_write(folder / _WEIGHTS) as partial:
        save_file(tensors, partial)
    write_text(folder / _RECIPE, json.dumps(written, indent=2) + "\n")


def read_model(folder: Path | str) -> tuple[Recipe, dict[str, Tensor]]:
    """The recipe and the state dict (on the host) that `write_model` wrote.

    Args:
        folder: the model's folder, or the run folder that holds it as `model/`.

    Raises:
        RunError: there is no model, or it was written by a newer version.
    """
    folder = Path(folder)
    if not (folder / _RECIPE).is_file() and (folder / "model" / _RECIPE).is_file():
        folder = folder / "model"
    try:
        stored = json.loads((folder / _RECIPE).read_text())
    except FileNotFoundError:
        raise RunError(
            f"{folder} holds no model: {_RECIPE} is missing. Name a run folder or its model/ folder."
        ) from None
    if stored["format"] > _FORMAT:
        raise RunError(
            f"{folder / _RECIPE} has format {stored['format']}; this version reads up to {_FORMAT}. Update moframework."
        )
    recipe = Recipe(
        tasks=tuple(stored["tasks"]),
        backbone=build(cast(type[Any], Backbone), stored["backbone"]),
        input_shape=tuple(stored["input_shape"]),
        outputs=stored["outputs"],
        weights=build(cast(type[Any], WeightSpaceConfig), stored["weights"]),
    )
    return recipe, load_file(folder / _WEIGHTS)
