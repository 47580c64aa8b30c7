"""`load_initial`: weights to start a training from, in place of fresh ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from torch import Tensor, nn

from moframework.config import Trust
from moframework.errors import DataError, RunError, nearest
from moframework.io.tensors import load_state
from moframework.model.adapters import (
    BASE,
    StoredAdapter,
    adapter_folders,
    network_state,
    put_adapters,
    read_adapter,
    with_adapter,
)
from moframework.model.pareto_model import ParetoModel
from moframework.model.recipe import Recipe

__all__ = ["Initial", "check_fits", "load_initial", "load_parameters", "with_tied"]


@frozen(eq=False)
class Initial:
    """What a training starts from.

    Attributes:
        state: the state dict of a network.
        adapters: low-rank adapters for each task, by the name of each weight; none where it is that network alone.
    """

    state: dict[str, Tensor]
    adapters: dict[str, StoredAdapter]

    def model(self, recipe: Recipe) -> ParetoModel:
        """The model that begins so.

        Raises:
            DataError: adapters do not fit.
            SpecError: see `ParetoModel`.
        """
        made = ParetoModel(recipe, self.state)
        if self.adapters:
            put_adapters(made.space, made.tasks, self.adapters)
        return made


def load_initial(path: Path, network: nn.Module, trust: Trust = False) -> Initial:
    """What is at `path`, checked against `network`: as `load_parameters` takes it; or adapters of PEFT, in a folder.

    A folder with one adapter stands for the network with that adapter, and a folder with an adapter for each task for
    the low-rank adapters of a solver. They are added to `base.safetensors` beside them, where that is there, else to
    the network as it starts.

    Raises:
        RunError, DataError: as `load_parameters`; or adapters cannot be used.
    """
    folders = adapter_folders(path) if path.is_dir() else {}
    if not folders:
        return Initial(load_parameters(path, network, trust), {})
    adapters = {name: read_adapter(folder) for name, folder in folders.items()}
    # One of several, taken alone, has the network that all of them are for in the folder above.
    beside = [place / BASE for place in (path, path.parent) if (place / BASE).is_file()]
    state = dict(network.state_dict()) if not beside else _fitting(network_state(beside[0]), network, beside[0])
    if "" in adapters:
        return Initial(with_adapter(state, adapters[""], path), {})
    return Initial(state, adapters)


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
    return _fitting(found, network, path)


def _fitting(found: Mapping[str, Any], network: nn.Module, path: Path) -> dict[str, Tensor]:
    """A state dict that has what a network has. Raises `DataError`."""
    whole = with_tied(found, network)
    check_fits(whole, network, f"initial: {path}")
    return whole


def with_tied(found: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """A state dict with all names of tied parameters, of which files may hold one."""
    names: dict[int, list[str]] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    tied: dict[str, Tensor] = {}
    for group in names.values():
        there = next((found[name] for name in group if name in found), None)
        if there is not None:
            tied |= {name: there for name in group if name not in found}
    return {**found, **tied}


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
