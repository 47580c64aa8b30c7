"""`load_parameters`: weights to start a training from, in place of fresh ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from moframework.config import Trust
from moframework.errors import DataError, RunError, nearest
from moframework.io.tensors import load_state
from moframework.model.pareto_model import ParetoModel

__all__ = ["check_fits", "load_parameters"]


def load_parameters(path: Path, network: nn.Module, trust: Trust = False) -> dict[str, Tensor]:
    """The state dict at `path`, checked against `network`: to start a training from.

    Args:
        path: a `.safetensors` file; a torch file holding a state dict (also under `state_dict` or `model`), read
            without executing anything; or a run or model folder of moframework, whose network at the centre of the
            simplex is taken.
        trust: what may be imported where that model names code; see `ParetoModel.load`.

    Raises:
        RunError: the model cannot be loaded, or names code that is not trusted.
        DataError: unreadable, or names or shapes that do not fit; the text lists them.
    """
    if path.is_dir():
        try:
            model = ParetoModel.load(path, trust=trust)
        except RunError as error:
            raise RunError(f"initial: {error}") from error
        found: Mapping[str, Any] = model.at([1.0] * len(model.tasks)).state_dict()
    else:
        try:
            found = load_state(path)
        except ValueError as error:
            raise DataError(
                f"initial: {error}. Give a .safetensors file or what torch.save(model.state_dict(), …) wrote, or a run "
                "folder."
            ) from error
    check_fits(found, network, f"initial: {path}")
    return dict(found)


def check_fits(found: Mapping[str, Tensor], network: nn.Module, what: str) -> None:
    """Compare names and shapes of a state dict with a network's.

    Args:
        what: where it is from, for the message.

    Raises:
        DataError: names are missing or not in the network, or shapes differ; the text lists them.
    """
    expected = network.state_dict()
    faults = []
    for name, value in expected.items():
        if name not in found:
            guess = nearest(name, found)
            faults.append(f"{name} is missing" + (f" (the file has {guess})" if guess else ""))
        elif tuple(found[name].shape) != tuple(value.shape):
            faults.append(f"{name} has shape {tuple(found[name].shape)}, the network's is {tuple(value.shape)}")
    faults += [f"{name} is not in the network" for name in found if name not in expected]
    if faults:
        shown = "; ".join(faults[:5]) + (f"; and {len(faults) - 5} more" if len(faults) > 5 else "")
        raise DataError(f"{what} does not fit {type(network).__name__}: {shown}")
