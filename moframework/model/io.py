"""A model's folder: `model.safetensors` holds its tensors, `model.json` its recipe, `preparation.json` how raw data
becomes inputs and outputs become answers.

Reading it executes nothing that it contains, and imports nothing that it names unless that is trusted. Each file is
written whole or not at all; the recipe ends with a checksum of itself, and tells those of the other files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from moframework.backbones.base import Backbone
from moframework.backbones.given import GivenBackbone, given_backbone
from moframework.config import Trust, build, config, option, unstructure
from moframework.config.fields import options_of
from moframework.config.references import relative_references
from moframework.errors import DamagedFileError, MoframeworkError, RequestError, RunError
from moframework.inputs.form import Entry, InputForm
from moframework.io.missing_part import ENVIRONMENT, missing_part_told
from moframework.io.paths import nearest_folder
from moframework.io.sealed import checksum, read_json, write_json
from moframework.io.tensors import load_state, save_tensors
from moframework.model.recipe import Recipe
from moframework.pareto.front import Front
from moframework.predicting.preparation import PREPARATION, Preparation, read_preparation, write_preparation
from moframework.weights import WeightSpaceConfig

__all__ = ["front_beside", "read_model", "stored_preparation", "verify_model", "write_model"]

_FORMAT = 2  # the first with checksums
_FORMAT_OF_TREES = 3  # with the form of inputs where they are more than one tensor of float32
_WEIGHTS, _RECIPE = "model.safetensors", "model.json"
_CHECKSUM, _PREPARED = "weights_sha256", "preparation_sha256"


def write_model(
    folder: Path | str, recipe: Recipe, state: Mapping[str, Tensor], preparation: Preparation | None = None
) -> None:
    """Write a model into `folder`, which is made if missing.

    Args:
        folder: where the files go; older ones are replaced.
        recipe: what the model is built from.
        state: its state dict, on any device.
        preparation: how raw data becomes inputs; None: no such file is left.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    simple = recipe.inputs.tree == Entry(recipe.input_shape) and None not in recipe.input_shape
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    written = {
        "format": _FORMAT if simple else _FORMAT_OF_TREES,
        "tasks": list(recipe.tasks),
        **({"input_shape": list(recipe.input_shape)} if simple else {"inputs": recipe.inputs.as_plain()}),
        "outputs": recipe.outputs,
        "backbone": relative_references(unstructure(recipe.backbone.bare()), folder),
        "weights": relative_references(unstructure(recipe.weights), folder),
    }
    save_tensors(folder / _WEIGHTS, tensors)
    sums = {_CHECKSUM: checksum(folder / _WEIGHTS)}
    if preparation is not None:
        sums[_PREPARED] = checksum(write_preparation(folder, preparation))
    write_json(folder / _RECIPE, {**written, **sums})
    if preparation is None:
        (folder / PREPARATION).unlink(missing_ok=True)


def read_model(
    folder: Path | str, trust: Trust = False, backbone: GivenBackbone = None
) -> tuple[Recipe, dict[str, Tensor]]:
    """The recipe and the state dict (on the host) that `write_model` wrote.

    Args:
        folder: the model's folder, or the run folder that holds it as `model/`.
        trust: what may be imported where the recipe names code; see `moframework.config.trust.Trust`.
        backbone: stands for the network that the recipe names; see `moframework.backbones.given`.

    Raises:
        RunError: there is no model; it is of a newer version, or names code that is not trusted; as `DamagedFileError`
            where a file is missing, damaged or something else.
    """
    folder, stored = _stored(folder)
    return _recipe(stored, folder / _RECIPE, trust, backbone), _tensors(folder, stored.get(_CHECKSUM))


def stored_preparation(folder: Path | str, trust: Trust = False) -> Preparation | str:
    """How raw data becomes the inputs of a model, as its folder says; where that is not known, or cannot be used, why.

    Args:
        folder, trust: as of `read_model`, which has read the model.
    """
    folder, stored = _stored(folder)
    if _PREPARED not in stored:
        return (
            f"the model in {folder} does not keep how raw data becomes its inputs: it was saved without its problem, "
            "or by an earlier version. While the data that it was trained on is there, add it in Python: "
            "model.preparation = moframework.problem.preparation_of(problem), then model.save(folder)"
        )
    try:
        _check(folder / PREPARATION, stored[_PREPARED])
        return read_preparation(folder, _advice(folder), trust)
    except RunError as error:
        return str(error)


def front_beside(folder: Path) -> Front | None:
    """The test front of the run that a model's folder belongs to; None where there is none that can be read.

    Args:
        folder: as of `read_model`.
    """
    for run in (folder, folder.parent):
        if (run / "front-test.json").is_file() and (run / "model" / _RECIPE).is_file():
            try:
                return Front.load(run / "front-test.json")
            except RunError:
                return None
    return None


def _stored(folder: Path | str) -> tuple[Path, dict[str, Any]]:
    """The folder of a model, and what its recipe holds. Raises as `read_model` does."""
    folder = Path(folder)
    if not (folder / _RECIPE).is_file() and (folder / "model" / _RECIPE).is_file():
        folder = folder / "model"
    if not (folder / _RECIPE).is_file():
        raise _no_model(folder)
    stored = read_json(folder / _RECIPE, advice=_advice(folder), newest=_FORMAT_OF_TREES)
    if "format" not in stored:
        raise DamagedFileError(f"{folder / _RECIPE} is not the recipe of a model: it states no format.")
    return folder, stored


def _no_model(folder: Path) -> RunError:
    """What is said of a folder without a model: a run that has none yet is no wrong request."""
    if (folder / "spec.yaml").is_file() or (folder.parent / "spec.yaml").is_file():
        return RunError(f"{folder} holds no model: {_RECIPE} is missing. A run has one when it has finished.")
    near = nearest_folder(folder, lambda one: any((one / place / _RECIPE).is_file() for place in ("", "model")))
    why = f"{_RECIPE} is missing" if folder.exists() else "there is no such folder"
    hint = f" Did you mean {near}?" if near else ""
    return RequestError(f"{folder} holds no model: {why}.{hint} Name a run folder or its model/ folder.")


def _recipe(stored: Mapping[str, Any], file: Path, trust: Trust, backbone: GivenBackbone) -> Recipe:
    """What `model.json` says. Raises `RunError` naming it."""
    plain = {o.key: stored[o.key] for o in options_of(_Written) if o.key in stored}
    try:
        if backbone is not None:
            plain["backbone"] = given_backbone(backbone, plain.get("backbone"))
        made = build(_Written, plain, file.parent, trust=trust)
    except MoframeworkError as error:
        beside = file.parent.parent
        folder = beside if (beside / ENVIRONMENT).is_file() else file.parent
        lines = [missing_part_told(f"{file}: {line}", folder) for line in str(error).splitlines()]
        if backbone is None and any(line.startswith("backbone") for line in str(error).splitlines()):
            lines.append(
                "The network can also be handed in, wherever its code lies: ParetoModel.load(folder, "
                "backbone=Network), with a class or function that makes it, or a module."
            )
        raise RunError("\n".join(lines)) from error
    return Recipe(
        tasks=made.tasks,
        backbone=made.backbone.bare(),  # a saved model brings its own weights: none are read or downloaded for it
        input_shape=_form(made, file),
        outputs=made.outputs,
        weights=made.weights,
    )


def _form(made: _Written, file: Path) -> InputForm:
    if made.inputs is None:
        if made.input_shape is None:
            raise DamagedFileError(f"{file}: input_shape is missing")
        return InputForm.of(made.input_shape)
    try:
        return InputForm.from_plain(made.inputs)
    except ValueError as error:
        raise DamagedFileError(f"{file}: inputs: {error}") from error


@config
class _Written:
    """A recipe as its file has it."""

    tasks: tuple[str, ...] = option(help="names of the objectives")
    input_shape: tuple[int, ...] | None = option(None, help="of one input, where it is one tensor of float32", ge=0)
    inputs: dict[str, Any] | None = option(None, help="form of the inputs, where it is another")
    outputs: dict[str, int] = option(help="width of each output")
    backbone: Backbone = option(help="the network")
    weights: WeightSpaceConfig = option(help="the weight space")


def verify_model(folder: Path) -> None:
    """Read a model's recipe, and add up its other files, without making anything of them.

    Raises:
        DamagedFileError: a file is missing, damaged or something else.
        NewerFormatError: the recipe is of a newer version.
    """
    stored = read_json(folder / _RECIPE, advice=_advice(folder), newest=_FORMAT_OF_TREES)
    _check_tensors(folder, stored.get(_CHECKSUM))
    if _PREPARED in stored:
        _check(folder / PREPARATION, stored[_PREPARED])


def _tensors(folder: Path, told: str | None) -> dict[str, Tensor]:
    """The weights, whose file has the checksum that the recipe tells, if it tells one."""
    _check_tensors(folder, told)
    try:
        return load_state(folder / _WEIGHTS)
    except ValueError as error:
        raise DamagedFileError(f"{error}. {_advice(folder)}") from error


def _check_tensors(folder: Path, told: str | None) -> None:
    _check(folder / _WEIGHTS, told)


def _check(path: Path, told: str | None) -> None:
    """Raise `DamagedFileError` where a file is missing or has another checksum than its model's recipe tells."""
    advice = _advice(path.parent)
    if not path.is_file():
        raise DamagedFileError(f"{path} does not exist. {advice}")
    if told is not None and checksum(path) != told:
        raise DamagedFileError(
            f"{path} is not what was written: its SHA-256 is another than the one in {_RECIPE}, so it is damaged. "
            f"{advice}"
        )


def _advice(folder: Path) -> str:
    if folder.name != "model":
        return "Bring the file back from a copy."
    return f"Bring the file back from a copy; where it belongs to a run: moframework solve {folder.parent} --resume"
