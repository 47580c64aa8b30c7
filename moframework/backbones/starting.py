"""What a network starts with: weights of another training, and parameters that stay as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from moframework.errors import DataError, SpecError, nearest

__all__ = ["freeze", "load_weights", "other_channels"]

_ENCODER = "encoder."


def load_weights(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Put `state` into a network: all that is shared by the outputs, and those heads that fit.

    `state` may be of the whole network, or of its part `encoder` alone, as published networks are; what else is in it
    (their classifiers) is left out. Heads that are not in it, or have another size there, stay as they are. A network
    without a part `encoder` needs every tensor. Counts of batches seen are not needed.

    The convolution that reads the input may have another number of channels: more than in `state`, then the further
    ones stay as they were drawn; or a single one, then it has the sum over the channels, which answers a gray image as
    the original answers its three equal channels.

    Args:
        network: changed in place.
        state: tensors by name.
        source: where `state` is from, for the message.

    Raises:
        DataError: tensors are missing or have other shapes; the text lists them.
    """
    expected = network.state_dict()
    inside = {_ENCODER + name: value for name, value in state.items()}
    if sum(name in expected for name in inside) > sum(name in expected for name in state):
        state = inside
    shared = [name for name in expected if name.startswith(_ENCODER)] or list(expected)
    values, faults = {}, []
    first = _reads_input(network)
    for name in shared:
        if name not in state:
            if not name.endswith("num_batches_tracked"):
                guess = nearest(name, state)
                faults.append(f"{name} is missing" + (f" (it has {guess})" if guess else ""))
            continue
        value = other_channels(state[name], expected[name]) if name == first else state[name]
        if value.shape == expected[name].shape:
            values[name] = value
        else:
            faults.append(f"{name} has shape {tuple(value.shape)}, the network's is {tuple(expected[name].shape)}")
    if faults:
        shown = "; ".join(faults[:5]) + (f"; and {len(faults) - 5} more" if len(faults) > 5 else "")
        raise DataError(f"backbone.weights: {source} does not fit the network: {shown}")
    for names in _groups(set(expected) - set(shared)):
        if all(name in state and state[name].shape == expected[name].shape for name in names):
            values |= {name: state[name] for name in names}
    with torch.no_grad():
        for name, value in values.items():
            expected[name].copy_(value)


def freeze(network: nn.Module, names: Sequence[str]) -> None:
    """Keep parameters out of training: shared by all preferences, never adapted, never given to an optimizer.

    BatchNorm layers that are frozen as a whole use the statistics they come with, and keep them: see `ParetoModel`.

    Args:
        network: changed in place.
        names: of parameters or of modules, as in `network.named_parameters()`: `encoder`, `encoder.layer1`.

    Raises:
        SpecError: a name that is not in the network, or nothing left to train.
    """
    parameters = dict(network.named_parameters())
    for prefix in names:
        found = [value for name, value in parameters.items() if name == prefix or name.startswith(f"{prefix}.")]
        if not found:
            known = {name[:end] for name in parameters for end in _ends(name)}
            guess = nearest(prefix, sorted(known))
            hint = f"did you mean '{guess}'? " if guess else ""
            parts = ", ".join(sorted({name.partition(".")[0] for name in parameters}))
            raise SpecError(
                f"backbone.freeze: no parameter or module of the network is called '{prefix}'; {hint}Its parts: {parts}"
            )
        for value in found:
            value.requires_grad_(False)
    if not any(value.requires_grad for value in parameters.values()):
        raise SpecError("backbone.freeze: nothing is left to train; freeze less, for example only the part `encoder`")


def other_channels(kernel: Tensor, like: Tensor) -> Tensor:
    """`kernel` with as many input channels as `like`, where that can be done; else as it is.

    Args:
        kernel: of a convolution, (out, in, height, width).
        like: of the same convolution with other inputs; further channels are taken from it.
    """
    if kernel.dim() != 4 or kernel.shape[0] != like.shape[0] or kernel.shape[2:] != like.shape[2:]:
        return kernel
    if like.shape[1] == 1:
        return kernel.sum(dim=1, keepdim=True)
    if like.shape[1] > kernel.shape[1]:
        return torch.cat([kernel.to(like), like[:, kernel.shape[1] :]], dim=1)
    return kernel


def _ends(name: str) -> list[int]:
    return [i for i, letter in enumerate(name) if letter == "."] + [len(name)]


def _groups(names: Iterable[str]) -> list[list[str]]:
    """Names of one head together: those alike in their first two parts."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(".".join(name.split(".")[:2]), []).append(name)
    return list(found.values())


def _reads_input(network: nn.Module) -> str | None:
    """The name of the kernel of the first convolution, unless something else with parameters comes before."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            return f"{name}.weight" if name else "weight"
        if isinstance(module, nn.Linear):
            return None
    return None
