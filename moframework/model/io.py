"""A model's folder: `model.safetensors` holds its tensors, `model.json` its recipe.

Reading it executes nothing that it contains, and imports nothing that it names unless that is trusted. Each file is
written whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from moframework.backbones.base import Backbone
from moframework.config import Trust, build, config, option, unstructure
from moframework.config.fields import options_of
from moframework.errors import RunError, SpecError
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


def read_model(folder: Path | str, trust: Trust = False) -> tuple[Recipe, dict[str, Tensor]]:
    """The recipe and the state dict (on the host) that `write_model` wrote.

    Args:
        folder: the model's folder, or the run folder that holds it as `model/`.
        trust: what may be imported where the recipe names code; see `moframework.config.trust.Trust`.

    Raises:
        RunError: there is no model; its recipe is damaged or of a newer version; or it names code that is not trusted.
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
    except (ValueError, RecursionError) as error:
        raise RunError(f"{folder / _RECIPE} is damaged: it is not the JSON of a model ({error}).") from error
    version = stored.get("format") if isinstance(stored, dict) else None
    if not isinstance(version, int):
        raise RunError(f"{folder / _RECIPE} is not the recipe of a model: it states no format.")
    if version > _FORMAT:
        raise RunError(
            f"{folder / _RECIPE} has format {version}; this version reads up to {_FORMAT}. Update moframework."
        )
    return _recipe(stored, folder / _RECIPE, trust), load_file(folder / _WEIGHTS)


def _recipe(stored: Mapping[str, Any], file: Path, trust: Trust) -> Recipe:
    """What `model.json` says. Raises `RunError` naming it."""
    try:
        made = build(_Written, {o.key: stored[o.key] for o in options_of(_Written) if o.key in stored}, trust=trust)
    except SpecError as error:
        raise RunError("\n".join(f"{file}: {line}" for line in str(error).splitlines())) from error
    return Recipe(
        tasks=made.tasks,
        backbone=made.backbone.bare(),  # a saved model brings its own weights: none are read or downloaded for it
        input_shape=made.input_shape,
        outputs=made.outputs,
        weights=made.weights,
    )


@config
class _Written:
    """A recipe as its file has it."""

    tasks: tuple[str, ...] = option(help="names of the objectives")
    input_shape: tuple[int, ...] = option(help="of one input", ge=0)
    outputs: dict[str, int] = option(help="width of each output")
    backbone: Backbone = option(help="the network")
    weights: WeightSpaceConfig = option(help="the weight space")
