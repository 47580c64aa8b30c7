"""A model of a run as an MLflow model, λ being a parameter of its signature; and what MLflow calls to load it."""

from __future__ import annotations

import tempfile
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from moframework.config import Trust
from moframework.inputs import InputForm
from moframework.inputs.form import Entry, Node
from moframework.model import ParetoModel
from moframework.predicting import Preparation

__all__ = ["save_mlflow_model"]

PREFERENCE = "preference"


def save_mlflow_model(model: ParetoModel, folder: Path | str, files: Path | None = None) -> None:
    """Write a model as one of MLflow (flavor `python_function`), which `mlflow.pyfunc.load_model(folder)` loads where
    moframework is installed. Nothing is pickled, and loading executes nothing that the model names. One that names code
    by its module is loaded with `mlflow.pyfunc.load_model(folder, model_config={"trust": True})`; code that it names by
    its file does not come along.

    `loaded.predict(x, params={"preference": [0.3, 0.7]})` gives what `ParetoModel.predict` says, as a data frame; where
    answers are maps, such as a class for each pixel, as a mapping from columns to arrays. A model that does not know
    what its outputs stand for gives these, by key.

    Args:
        model: to be written.
        folder: must not exist.
        files: where `model.save` has written it already.

    Example::

        save_mlflow_model(moframework.load("runs/quickstart").model(), "quickstart-mlflow")
    """
    m = len(model.tasks)
    # MLflow warns of what is meant: that there is no example of inputs, and of types in modules of its own.
    with tempfile.TemporaryDirectory() as work, warnings.catch_warnings(action="ignore"):
        from mlflow.models import ModelSignature
        from mlflow.pyfunc import save_model
        from mlflow.types import DataType, ParamSchema, ParamSpec

        parameter = ParamSpec(PREFERENCE, DataType.double, [1 / m] * m, shape=(-1,))
        if files is None:
            files = Path(work) / "files"
            model.save(files)
        save_model(
            path=str(folder),
            loader_module=__name__,
            data_path=str(files),
            signature=ModelSignature(inputs=_inputs(model), params=ParamSchema([parameter])),
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in ("moframework", "torch")],
            model_config={"trust": False, "device": "cpu"},
            metadata={"tasks": list(model.tasks)},
        )


class _Loaded:
    """What MLflow asks for predictions."""

    def __init__(self, model: ParetoModel) -> None:
        self.model = model

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Answers at `params["preference"]`; equal weights without it."""
        m = len(self.model.tasks)
        preference = (params or {}).get(PREFERENCE, [1 / m] * m)
        if not isinstance(self.model.preparation, Preparation):
            with torch.no_grad():
                outputs = self.model(_tensors(model_input), preference)
            return {key: output.numpy() for key, output in outputs.items()}
        told = self.model.predict(model_input, preference)
        is_table = all(not isinstance(column, np.ndarray) or column.ndim == 1 for column in told.columns.values())
        return told.to_frame() if is_table else dict(told.columns)


def _load_pyfunc(data_path: str, model_config: dict[str, Any] | None = None) -> _Loaded:
    """What MLflow calls. `model_config` may hold `trust`, as of `ParetoModel.load`, and `device`."""
    options = model_config or {}
    trust: Trust = options.get("trust", False)
    return _Loaded(ParetoModel.load(data_path, options.get("device", "cpu"), trust=trust))


def _inputs(model: ParetoModel) -> Any:
    """The schema of inputs that are prepared already; None where raw data of any kind is read."""
    from mlflow.types import Schema, TensorSpec

    known = isinstance(model.preparation, Preparation)
    form: InputForm = model.recipe.inputs
    if known and model.preparation.reader is not None:  # type: ignore[union-attr]
        return None
    if not isinstance(form.tree, Entry) and not _is_flat(form.tree):
        return None
    return Schema([TensorSpec(_type(entry), _shape(entry), path or None) for path, entry in form.entries.items()])


def _is_flat(node: Node) -> bool:
    return node.kind == "dict" and all(isinstance(part, Entry) for part in node.parts.values())


def _type(entry: Entry) -> np.dtype[Any]:
    return torch.empty(0, dtype=entry.dtype).numpy().dtype


def _shape(entry: Entry) -> tuple[int, ...]:
    return (-1, *(-1 if size is None else size for size in entry.shape))


def _tensors(x: Any) -> Any:
    return {key: torch.as_tensor(value) for key, value in x.items()} if isinstance(x, dict) else torch.as_tensor(x)
