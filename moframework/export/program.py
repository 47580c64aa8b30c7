"""Networks as programs of torch.export, and `.pt2` files of them."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from moframework.errors import RunError
from moframework.export.networks import PREFERENCE_INPUT, Inputs

__all__ = ["load_program", "made_program", "quiet", "save_program", "varying_axes"]

_LOGGERS = ("onnxscript", "onnx_ir", "torch.onnx", "torch.export", "torch.fx")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """While inside, exporters say nothing: what goes wrong is an error, or found by comparing."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def varying_axes(inputs: Inputs, mixed: bool) -> dict[str, dict[int, str]]:
    """The axes of each named tensor that may have any size, and what that size is called.

    Args:
        mixed: there is a preference for each sample of a batch.
    """
    found = {
        name: {0: "batch", **{i: f"{name}_{i}" for i, size in enumerate(entry.shape, start=1) if size is None}}
        for name, entry in zip(inputs.names, inputs.form.entries.values(), strict=True)
    }
    return {**found, PREFERENCE_INPUT: {0: "batch"} if mixed else {}}


@torch.no_grad()
def made_program(
    network: nn.Module, given: Mapping[str, Tensor], axes: Mapping[str, Mapping[int, str]]
) -> ExportedProgram:
    """A network as torch.export has it.

    Args:
        network: with named inputs; in use. It is changed: lists and dictionaries in its attributes become copies.
        given: inputs of three samples or so, by name.
        axes: those that may have any size.

    Raises:
        RunError: torch.export cannot do it, or the size of a batch would become a constant.
    """
    shapes = {name: dict.fromkeys(axes[name], Dim.DYNAMIC) for name in given}
    first: Exception | None = None
    for strict in (False, True):  # the strict way reads Python's code, and knows what `len(x)` is
        try:
            with quiet():
                return torch.export.export(network, (), dict(given), dynamic_shapes=shapes, strict=strict)
        except Exception as error:  # whatever the network's own code raises
            first = first or error
            if "specialized" not in str(error):
                break
    assert first is not None
    raise RunError(_words(first)) from first


def _words(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = f"{type(error).__name__}: {' '.join(lines)[:400]}"
    if "specialized" in str(error):
        return (
            "this network cannot be exported for batches of any size, since its code makes the size a constant: "
            f"`len(x)` of a tensor does that, where `x.shape[0]` does not ({told})"
        )
    return f"torch.export cannot export this network ({told}). As weights by name it can be: --to NAME.safetensors"


def save_program(program: ExportedProgram, path: Path) -> None:
    """Write a program to a `.pt2` file."""
    with quiet():
        torch.export.save(program, path)


def load_program(path: Path) -> Callable[[dict[str, Tensor]], Mapping[str, Tensor]]:
    """What a `.pt2` file computes of named tensors."""
    with quiet():
        network: Any = torch.export.load(path).module()

    def run(given: dict[str, Tensor]) -> Mapping[str, Tensor]:
        outputs: Mapping[str, Tensor] = network(**given)
        return outputs

    return run
