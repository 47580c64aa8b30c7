"""Marks of tests that need an optional package: skipped without it, with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

import pytest

__all__ = [
    "marks_of_part",
    "needs_botorch",
    "needs_cagrad",
    "needs_fairlearn",
    "needs_mlflow",
    "needs_nbclient",
    "needs_onnx",
    "needs_peft",
    "needs_pytorch_optimizer",
    "needs_ray",
    "needs_serve",
    "needs_submitit",
    "needs_timm",
    "needs_torchjd",
    "needs_transformers",
    "needs_wandb",
    "with_extras",
]

needs_fairlearn = pytest.mark.skipif(find_spec("fairlearn") is None, reason="needs fairlearn, of the extra dev")
needs_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxruntime", "onnxscript")), reason="needs the extra onnx"
)
needs_botorch = pytest.mark.skipif(find_spec("botorch") is None, reason="needs the extra botorch")
needs_peft = pytest.mark.skipif(find_spec("peft") is None, reason="needs the extra peft")
needs_pytorch_optimizer = pytest.mark.skipif(
    find_spec("pytorch_optimizer") is None, reason="needs the extra optimizers"
)
needs_torchjd = pytest.mark.skipif(find_spec("torchjd") is None, reason="needs the extra torchjd")
needs_cagrad = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("torchjd", "cvxpy", "clarabel")), reason="needs the extra cagrad"
)
needs_timm = pytest.mark.skipif(find_spec("timm") is None, reason="needs the extra timm")
needs_transformers = pytest.mark.skipif(find_spec("transformers") is None, reason="needs the extra transformers")
needs_mlflow = pytest.mark.skipif(find_spec("mlflow") is None, reason="needs the extra mlflow")
needs_wandb = pytest.mark.skipif(find_spec("wandb") is None, reason="needs the extra wandb")
needs_nbclient = pytest.mark.skipif(find_spec("nbclient") is None, reason="needs nbclient, of the extra dev")
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray")
needs_submitit = pytest.mark.skipif(find_spec("submitit") is None, reason="needs the extra submitit")
needs_serve = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("starlette", "uvicorn", "httptools", "orjson", "prometheus_client")),
    reason="needs the extra serve",
)


# By the beginning of a module's name.
_OF_IMPORTS = {"moframework.serve.": needs_serve}
_OF_EXAMPLES = {
    "moframework.objectives.from_torchjd": needs_torchjd,
    "moframework.objectives.torchjd_by_name": needs_torchjd,
    "moframework.backbones.timm": needs_timm,
    "moframework.backbones.transformers": needs_transformers,
}
_OF_PARTS = {
    ("backbones", "transformers"): needs_transformers,
    ("objectives", "cagrad"): needs_cagrad,
    ("solvers", "qnehvi"): needs_botorch,
}


def with_extras(modules: Iterable[str], *, examples: bool = False) -> list[Any]:
    """Names of modules as parameters of a test; those that cannot be imported without an extra are skipped without.

    Args:
        examples: those whose examples need an extra are skipped without, too.
    """
    needed = _OF_IMPORTS | (_OF_EXAMPLES if examples else {})
    return [
        pytest.param(name, marks=[mark for beginning, mark in needed.items() if name.startswith(beginning)])
        for name in modules
    ]


def marks_of_part(kind: str, name: str) -> list[pytest.MarkDecorator]:
    """What skips a test of the part where a spec that names it needs an extra."""
    return [_OF_PARTS[kind, name]] if (kind, name) in _OF_PARTS else []
