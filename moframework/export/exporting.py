"""A trained model to files that are used without moframework, compared with the model before they take their place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from attrs import field, frozen
from torch import Tensor, nn

from moframework.errors import RequestError, RunError
from moframework.export.adapters import load_adapters, save_adapters
from moframework.export.answering import answering
from moframework.export.card import Description, card, card_text
from moframework.export.facts import Facts
from moframework.export.networks import PREFERENCE_INPUT, Inputs, dial_network, fixed_network, mixed_network
from moframework.export.onnx_file import load_onnx, onnx_names, save_onnx
from moframework.export.program import load_program, made_program, save_program, varying_axes
from moframework.export.staging import check_free, staged
from moframework.export.targets import Form, check_installed, form_of
from moframework.export.tensors import JOINED, load_fixed, load_sum, save_state, state_of, sum_of
from moframework.export.verifying import Trial, example_inputs, largest_difference, trials_of, tried_preferences
from moframework.inputs import Tree
from moframework.io.atomic import write_text
from moframework.io.sealed import checksum
from moframework.model import ParetoModel
from moframework.model.operating_point import PreferenceLike, merged_network

__all__ = ["Exported", "check_export", "export_model"]

CARD, CARD_TEXT, ANSWERING, DATA = ".card.json", ".md", ".preparation.json", ".data"
"""What is appended to the name of an exported file for those beside it; `DATA` holds weights that are too large for an
ONNX file."""
_OF_FOLDER = ("card.json", "README.md", "preparation.json")


@frozen(kw_only=True)
class Exported:
    """What an export has left.

    Attributes:
        path: the file, or folder.
        files: all of them, `path` first.
        difference: the largest between its outputs and the model's, relative to the outputs where they are larger
            than 1.
        notes: what is worth knowing, a sentence each.
    """

    path: Path
    files: tuple[Path, ...]
    difference: float
    notes: tuple[str, ...]


def export_model(
    model: ParetoModel,
    to: Path | str,
    preference: PreferenceLike | None = None,
    *,
    mixed: bool = False,
    statistics: Mapping[str, Tensor] | None = None,
    facts: Facts | None = None,
    samples: Tree | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a model as a file that is used without moframework; beside it a model card (`.md`, `.card.json`) and how
    raw data becomes inputs and outputs become answers (`.preparation.json`).

    What was written is read back and compared with `model(x, λ)`, on batches of several sizes and, with the dial, at
    several preferences. All files take their places once that is done; else none is there. The model is not changed.

    Args:
        model: any; used as after `eval()`, on the host.
        to: its end says the form: `.safetensors`, `.pt2` (torch.export), `.onnx`; a folder is for adapters of PEFT.
        preference: the operating point to export, m non-negative numbers; None for the dial: the preference is an input
            called `preference`, (m,).
        mixed: with the dial, a preference for each sample, (b, m): where the model has one pass for them.
        statistics: buffers that stand for those of the network, by name, as `ParetoModel.batch_statistics` gives them
            for a preference.
        facts: what the card tells beside the model.
        samples: inputs to compare with, in the place of random ones.
        overwrite: replace what an earlier export has written there.

    Raises:
        RunError: there is no such form, or not of this model; a package is missing; a file exists; or what was written
            computes something else.
        PreferenceError: the preference is none; a `ValueError` too.

    Example::

        export_model(model, "digits.onnx")                       # λ is an input
        export_model(model, "digits.safetensors", [0.3, 0.7])    # a plain network
    """
    target = Path(to)
    form = check_export(target, preference, mixed=mixed, overwrite=overwrite)
    used = _copied(model)
    _check_dial(used, preference)
    point = None if preference is None else used.checked(preference)
    return _Export(used, form, target, point, mixed, dict(statistics or {}), samples, facts or Facts()).run()


def check_export(to: Path, preference: object, *, mixed: bool, overwrite: bool) -> Form:
    """The form that is asked for. Refuses what cannot be written whatever the model is, before anything is computed.

    Args:
        preference: None for the dial; of what else it is only that it is something counts.
        to, mixed, overwrite: as of `export_model`.

    Raises:
        RunError: there is no such form, or not of what is asked; a package is missing; or a file exists.
    """
    form = form_of(to)
    check_installed(form)
    _check_asked(form, preference, mixed)
    _check_free(to, form, overwrite)
    return form


def _check_asked(form: Form, preference: object, mixed: bool) -> None:
    if mixed and preference is not None:
        raise RequestError("one preference is exported, or a preference is given for each sample: not both")
    if mixed and form not in ("pt2", "onnx"):
        raise RequestError("a preference for each sample is an input of a program: take --to NAME.pt2 or NAME.onnx")
    if form == "peft" and preference is not None:
        raise RequestError(
            "adapters of PEFT, one for each task, keep the dial: export them without a preference (--dial). A network "
            "at one preference is exported to NAME.safetensors, NAME.pt2 or NAME.onnx"
        )


def _check_dial(model: ParetoModel, preference: object) -> None:
    """Refuse a dial where there is none, and a preference that is none of a finite set."""
    anchors = model.space.anchors()
    if anchors is None:
        return
    points = "; ".join(", ".join(f"{value:.4g}" for value in row) for row in anchors.tolist())
    if preference is None:
        raise RequestError(
            f"this model has a network for each of {len(anchors)} preferences and nothing between them, so there is no "
            f"dial. Export one of its networks: --preference with one of {points}"
        )
    given = model.checked(preference)  # type: ignore[arg-type]
    if float((anchors.double() - given.double()).norm(dim=1).min()) > 1e-4:
        shown = ", ".join(f"{value:.4g}" for value in given.tolist())
        raise RequestError(
            f"this model has networks for {len(anchors)} preferences and none at ({shown}). They are: {points}"
        )


def _check_free(target: Path, form: Form, overwrite: bool) -> None:
    if form != "peft":
        return check_free(_paths(target, form), overwrite)
    if target.is_dir() and any(target.iterdir()):
        if not overwrite:
            raise RunError(f"{target} exists and is not empty. Choose another name, or replace it with --overwrite")
        if not all((target / name).is_file() for name in _OF_FOLDER):
            raise RunError(f"{target} is no folder that an export has made, and is not replaced. Choose another name")
    elif target.exists() and not target.is_dir():
        raise RunError(f"{target} is a file, where a folder would have to be: choose another name")
    return None


def _paths(target: Path, form: Form) -> list[Path]:
    if form == "peft":
        return [target]
    ends = ("", CARD, CARD_TEXT, ANSWERING, *((DATA,) if form == "onnx" else ()))
    return [target.with_name(f"{target.name}{end}") for end in ends]


def _copied(model: ParetoModel) -> ParetoModel:
    """A copy on the host, in use: exporters put other objects in the place of attributes of what they export."""
    if any(value.is_meta for value in model.parameters()):
        raise RunError("this model has no numbers: it is on the device `meta`")
    return copy.deepcopy(model).cpu().to(memory_format=torch.contiguous_format).eval()


@frozen(eq=False)
class _Export:
    """One export, from a copy of the model."""

    model: ParetoModel
    form: Form
    target: Path
    preference: Tensor | None
    mixed: bool
    statistics: Mapping[str, Tensor]
    samples: Tree | None
    facts: Facts
    details: dict[str, Any] = field(factory=dict)

    def run(self) -> Exported:
        """Write all files, and put them in their place."""
        paths, target = _paths(self.target, self.form), self.target
        try:
            with staged(paths) as stage, torch.no_grad():
                difference = self._write(stage)
        except OSError as error:
            raise RunError(f"{target} cannot be written: {error}. Nothing is kept") from error
        left = paths if self.form != "peft" else [target, *sorted(path for path in target.rglob("*") if path.is_file())]
        files = tuple(path for path in left if path.exists())
        return Exported(path=target, files=files, difference=difference, notes=self.facts.notes)

    def _write(self, stage: Path) -> float:
        """Make all files in a folder, and return the largest difference from the model."""
        inputs = Inputs.of(self.model.recipe.inputs)
        tried = None if self.preference is not None else tried_preferences(len(self.model.tasks))
        trials = trials_of(self._expected, inputs, tried, self.samples, self.mixed)
        path = stage / self.target.name
        run = self._written(path, inputs)
        difference = largest_difference(run, trials, inputs, str(self.target))
        what = Description(
            form=self.form, target=self.target, preference=self.preference, mixed=self.mixed, inputs=inputs,
            outputs=self._outputs(trials[0]), details=self.details, difference=difference,
            tried=None if tried is None else tried.tolist(), preparation=self._beside(path)[2].name,
        )  # fmt: skip
        if self.form != "peft":
            self.details["sha256"] = checksum(path)
        told = card(self.model, what, self.facts)
        texts = (_json(told), card_text(told, what, self.facts), _json(answering(self.model, inputs)))
        for place, text in zip(self._beside(path), texts, strict=True):
            write_text(place, text)
        return difference

    def _beside(self, path: Path) -> list[Path]:
        if self.form == "peft":
            return [path / name for name in _OF_FOLDER]
        return [path.with_name(f"{path.name}{end}") for end in (CARD, CARD_TEXT, ANSWERING)]

    def _expected(self, x: Tree, preference: Tensor | None) -> dict[str, Tensor]:
        if preference is None:
            return self.model.call(self._theta(), x)
        outputs: dict[str, Tensor] = self.model(x, preference)
        return outputs

    def _theta(self) -> dict[str, Tensor]:
        assert self.preference is not None
        kept = {name: value.cpu().clone() for name, value in self.statistics.items()}
        return {**self.model.weights(self.preference), **kept}

    def _outputs(self, trial: Trial) -> dict[str, dict[str, Any]]:
        names: Mapping[str, str] = self.details.get("output_names", {})
        return {
            key: {
                **({"name": names[key]} if names else {}),
                "shape": ["batch", *value.shape[1:]],
                "dtype": str(value.dtype).removeprefix("torch."),
            }
            for key, value in trial.expected.items()
        }

    def _written(self, path: Path, inputs: Inputs) -> Callable[[dict[str, Tensor]], Mapping[str, Tensor]]:
        """Write the file or folder, and return what it computes when it is read back."""
        if self.form == "peft":
            self.details.update(save_adapters(self.model, path))
            return load_adapters(path, self.model, inputs)
        if self.form == "safetensors":
            return self._tensors(path, inputs)
        axes = varying_axes(inputs, self.mixed)
        # Trials go by the model itself: exporting changes attributes of what it exports, so it gets a copy of its own.
        network = self._network(copy.deepcopy(self.model), inputs)
        given = self._example(inputs)
        program = made_program(network, given, axes)
        if self.form == "pt2":
            save_program(program, path)
            return load_program(path)
        names = onnx_names(tuple(self.model.recipe.outputs), given)
        self.details["output_names"] = names
        self.details["opset"] = save_onnx(program, given, names, axes, path)
        return load_onnx(path, names)

    def _tensors(self, path: Path, inputs: Inputs) -> Callable[[dict[str, Tensor]], Mapping[str, Tensor]]:
        fixed = self.preference is not None
        state = state_of(merged_network(self.model.network, self._theta())) if fixed else sum_of(self.model)
        save_state(state, path)
        self.details["tensors"] = {name: list(value.shape) for name, value in state.tensors.items()}
        if state.tied:
            self.details["tied"] = state.tied
        if JOINED in state.tensors:
            self.details["joined"] = JOINED
        load = partial(load_fixed, tied=state.tied) if fixed else load_sum
        return load(path, self.model, inputs)

    def _network(self, model: ParetoModel, inputs: Inputs) -> nn.Module:
        if self.preference is not None:
            return fixed_network(merged_network(model.network, self._theta()).eval(), model, inputs)
        return (mixed_network if self.mixed else dial_network)(model, inputs)

    def _example(self, inputs: Inputs) -> dict[str, Tensor]:
        count = 3  # 0 and 1 are sizes that torch.export takes for constants
        given = inputs.by_name(example_inputs(inputs, count, self.samples))
        if self.preference is not None:
            return given
        rows = tried_preferences(len(self.model.tasks))[-1:]
        return {**given, PREFERENCE_INPUT: rows.expand(count, -1).clone() if self.mixed else rows[0]}


def _json(plain: Mapping[str, Any]) -> str:
    return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
