"""Networks as `.onnx` files. Needs the extra `onnx`."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from moframework.errors import RunError
from moframework.export.program import quiet

__all__ = ["load_onnx", "onnx_names", "save_onnx"]

ONE_FILE = 1_900_000_000
"""Bytes of weights up to which they are in the file itself; protobuf allows 2 GiB."""


def onnx_names(outputs: Sequence[str], inputs: Iterable[str]) -> dict[str, str]:
    """What outputs are called in the file, by key: as the model calls them, unless an input is called so."""
    taken = set(inputs)
    return {key: f"{key}_output" if key in taken else key for key in outputs}


def save_onnx(
    program: ExportedProgram,
    given: Mapping[str, Tensor],
    names: Mapping[str, str],
    axes: Mapping[str, Mapping[int, str]],
    path: Path,
) -> int:
    """Write a program to an `.onnx` file; large weights go to a file beside it, `NAME.onnx.data`.

    Args:
        given: inputs, by name.
        names: of outputs in the file.
        axes: names of the axes that may have any size.

    Returns:
        the version of ONNX's operators.

    Raises:
        RunError: ONNX has no form of it.
    """
    for name, value in given.items():
        if value.dtype in (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2):
            told = str(value.dtype).removeprefix("torch.")
            raise RunError(
                f"the input {name} is {told}, which onnxruntime does not take from Python. Take --to NAME.pt2, or "
                "export the model as float32: model.float(), with inputs of float32"
            )
    try:
        with quiet(), torch.no_grad():
            made: Any = torch.onnx.export(
                program, (), kwargs=dict(given), dynamo=True, output_names=list(names.values()), verbose=False
            )
            _name_axes(made.model.graph, axes)
            size = sum(value.numel() * value.element_size() for value in program.state_dict.values())
            made.save(path, external_data=size > ONE_FILE)
    except ImportError as error:
        raise RunError(
            f"the packages installed for ONNX do not go with torch {torch.__version__} ({error}): "
            "pip install --upgrade 'moframework[onnx]'"
        ) from error
    except Exception as error:  # whatever the exporter meets
        told = str(error.__cause__ or error).strip().partition("\n")[0][:300]
        raise RunError(
            f"ONNX has no form of this network ({type(error).__name__}: {told}). Take --to NAME.pt2"
        ) from error
    version: int = made.model.opset_imports[""]
    return version


def _name_axes(graph: Any, axes: Mapping[str, Mapping[int, str]]) -> None:
    """Give axes of any size their names, in the place of those that torch.export made up."""
    renamed: dict[str, str] = {}
    for value in graph.inputs:
        for axis, name in axes.get(value.name, {}).items():
            symbol = str(value.shape[axis])
            if not symbol.isdigit():
                renamed.setdefault(symbol, name)
    values = [*graph.inputs, *graph.outputs, *(value for node in graph for value in node.outputs)]
    for value in values:
        for axis, size in enumerate(value.shape or ()):
            if not isinstance(size, int) and str(size) != "None":
                value.shape[axis] = re.sub(r"\w+", lambda found: renamed.get(found[0], found[0]), str(size))


def load_onnx(path: Path, names: Mapping[str, str]) -> Callable[[dict[str, Tensor]], Mapping[str, Tensor]]:
    """What an `.onnx` file computes of named tensors, by onnxruntime on the CPU.

    Raises:
        RunError: onnxruntime cannot run it.
    """
    onnxruntime: Any = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own have no common base
        told = str(error).strip().partition("\n")[0][:300]
        raise RunError(f"onnxruntime cannot run the file that was written ({told}). Take --to NAME.pt2") from error
    read = {one.name for one in session.get_inputs()}

    def run(given: dict[str, Tensor]) -> Mapping[str, Tensor]:
        results = session.run(
            list(names.values()), {name: value.numpy() for name, value in given.items() if name in read}
        )
        return {key: torch.from_numpy(result) for key, result in zip(names, results, strict=True)}

    return run
