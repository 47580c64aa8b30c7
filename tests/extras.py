"""Marks of tests that need an optional package: skipped without it, with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

import pytest

__all__ = [
    "needs_botorch",
    "needs_fairlearn",
    "needs_mlflow",
    "needs_nbclient",
    "needs_onnx",
    "needs_peft",
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
needs_torchjd = pytest.mark.skipif(find_spec("torchjd") is None, reason="needs the extra torchjd")
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


def with_extras(modules: Iterable[str]) -> list[Any]:
    """Names of modules as parameters of a test; those that cannot be imported without an extra are skipped without."""
    return [pytest.param(name, marks=needs_serve if name.startswith("moframework.serve.") else ()) for name in modules]
