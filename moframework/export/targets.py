"""Which form of an export a path asks for, and whether what it needs is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from moframework.errors import RequestError, RunError

__all__ = ["Form", "check_installed", "form_of"]

Form = Literal["safetensors", "pt2", "onnx", "peft"]

_SUFFIXES: dict[str, Form] = {".safetensors": "safetensors", ".pt2": "pt2", ".onnx": "onnx"}
_NEEDS: dict[Form, tuple[str, ...]] = {
    "safetensors": (),
    "pt2": (),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "peft": ("peft",),
}


def form_of(path: Path) -> Form:
    """The form that a path asks for: by its suffix, or adapters of PEFT where it has none or is a folder.

    Raises:
        RunError: there is no such form.

    >>> form_of(Path("digits.onnx")), form_of(Path("adapters"))
    ('onnx', 'peft')
    """
    found = _SUFFIXES.get(path.suffix.lower())
    if found is not None:
        return found
    if not path.suffix or path.is_dir():
        return "peft"
    raise RequestError(
        f"{path} says no form of export: let it end in .safetensors (weights by name), .pt2 (torch.export) or .onnx, "
        "or name a folder, for adapters of PEFT"
    )


def check_installed(form: Form) -> None:
    """Raise `RunError`, with what to install, where a package is missing that a form needs."""
    missing = [name for name in _NEEDS[form] if find_spec(name) is None]
    if missing:
        raise RunError(
            f"exporting to {form} needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
            f"installed: pip install 'moframework[{form}]'"
        )
