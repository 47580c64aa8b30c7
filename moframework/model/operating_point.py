"""One operating point: the preference is checked, θ(λ) merged into a plain network, BatchNorm recalibrated for it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from moframework.inputs.trees import Tree, mapped

__all__ = ["as_preference", "batch_statistics", "merged_network", "on_simplex"]

_ROUNDING = 1e-6
"""A sum that is this close to 1 is 1: float32 numbers that were divided by their sum are hardly closer."""


def on_simplex(preference: ArrayLike | Tensor, tasks: Sequence[str]) -> Tensor:
    """A preference as a float32 tensor (m,) on the host, scaled to sum to 1.

    Args:
        preference: m non-negative numbers.
        tasks: names of the m objectives.

    Raises:
        ValueError: wrong count, a negative or non-finite number, or all zero.

    Example::

        on_simplex([1, 3], ("left", "right"))    # tensor([0.2500, 0.7500])
    """
    if isinstance(preference, Tensor):
        preference = preference.detach().cpu().float().numpy()
    value = torch.from_numpy(np.array(preference, dtype=np.float32))
    if value.shape != (len(tasks),):
        raise ValueError(f"{_wanted(tasks)}; got {value.tolist()}")
    if not bool(torch.isfinite(value).all()) or bool((value < 0).any()) or float(value.sum()) <= 0:
        raise ValueError(f"a preference is non-negative and not all zero; got {value.tolist()}")
    return value / value.sum()


def as_preference(preference: ArrayLike | Tensor, tasks: Sequence[str]) -> Tensor:
    """A preference as a tensor (m,) on the simplex, for use where it is: with its device and its gradient.

    A tensor of floating-point numbers on the simplex is returned as it is; whatever else can be read is checked and
    scaled as by `on_simplex`. Of a tensor whose numbers cannot be read (while something is compiled, exported, traced,
    vectorized by `torch.func.vmap`, or captured as a CUDA graph) only the shape is checked. Numbers on a CUDA device
    are waited for.

    Raises:
        ValueError: as by `on_simplex`.
    """
    compiling = torch.compiler.is_compiling()
    if not isinstance(preference, Tensor):
        if not compiling:
            return on_simplex(preference, tasks)
        preference = torch.as_tensor(preference, dtype=torch.float32)
    if torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]  # where a shape is no number either
        return preference
    if preference.shape != (len(tasks),):
        raise ValueError(f"{_wanted(tasks)}; got a tensor of shape {tuple(preference.shape)}")
    numbers = None if compiling else _numbers(preference)
    if numbers is None:
        return preference
    if min(numbers) >= 0 and abs(sum(numbers) - 1) <= _ROUNDING and preference.is_floating_point():
        return preference
    on_simplex(preference, tasks)
    preference = preference if preference.is_floating_point() else preference.float()
    return preference / preference.sum()


def _numbers(values: Tensor) -> list[float] | None:
    """What a tensor holds, or None where that cannot be read."""
    if type(values) not in (Tensor, nn.Parameter):  # fake and functional tensors, and those that lie in shards
        return None
    if values.is_cuda and torch.cuda.is_current_stream_capturing():
        return None
    try:
        found: list[float] = values.tolist()
    except RuntimeError:  # vectorized, or without any numbers
        return None
    return found


def _wanted(tasks: Sequence[str]) -> str:
    return f"a preference has {len(tasks)} numbers, one for each of {', '.join(tasks)}"


def merged_network(
    skeleton: nn.Module, theta: Mapping[str, Tensor], trainable: Mapping[str, bool], aliases: Mapping[str, str]
) -> nn.Module:
    """A copy of `skeleton`, whose parameters were taken out, with θ(λ) as its own.

    Args:
        skeleton: the network; it is not changed.
        theta: values of all parameters, and of those buffers that depend on λ.
        trainable: every parameter by name, and whether it is trained.
        aliases: further names of tied parameters, each with the first one.
    """
    network = copy.deepcopy(skeleton)
    parameters = {
        name: nn.Parameter(theta[name].detach().clone(), requires_grad=trained) for name, trained in trainable.items()
    }
    parameters.update({alias: parameters[first] for alias, first in aliases.items()})
    for name, parameter in parameters.items():
        prefix, _, key = name.rpartition(".")
        network.get_submodule(prefix)._parameters[key] = parameter
    for name, value in theta.items():
        if name not in trainable:
            network.get_buffer(name).copy_(value)
    for module in network.modules():
        if isinstance(module, nn.RNNBase):
            module._init_flat_weights()
    return network


def batch_statistics(
    network: nn.Module,
    norms: Mapping[str, _BatchNorm],
    passes: Sequence[Callable[[dict[str, Tensor], Tree], Any]],
    batches: Iterable[Tree],
) -> list[dict[str, Tensor]]:
    """Running statistics of BatchNorm layers, taken anew for each of several operating points.

    Args:
        network: has the layers; it acts as in use, but for these.
        norms: the layers, by name.
        passes: for each operating point its forward pass; it takes buffers, which it changes, and inputs (b, …).
        batches: of training inputs; each is read once, all operating points see it.

    Returns:
        For each operating point its buffers, by name; empty without layers that keep statistics.

    Raises:
        ValueError: there is no batch.
    """
    layers = {f"{name}." if name else "": module for name, module in norms.items() if module.running_mean is not None}
    found = [_fresh_statistics(layers) for _ in passes]
    read = False
    with _taking_statistics(network, layers.values()):
        for x in batches if layers else ():
            read = True
            for run, statistics in zip(passes, found, strict=True):
                device = next(iter(statistics.values())).device
                x = mapped(partial(torch.Tensor.to, device=device, non_blocking=True), x)
                run(statistics, x)
    if layers and not read:
        raise ValueError("calibrating BatchNorm needs at least one batch of training inputs")
    return found


def _fresh_statistics(layers: Mapping[str, _BatchNorm]) -> dict[str, Tensor]:
    """Buffers, by full name, as BatchNorm layers have them before the first batch."""
    made: dict[str, Tensor] = {}
    for prefix, layer in layers.items():
        made[prefix + "running_mean"] = torch.zeros_like(cast(Tensor, layer.running_mean))
        made[prefix + "running_var"] = torch.ones_like(cast(Tensor, layer.running_var))
        made[prefix + "num_batches_tracked"] = torch.zeros_like(cast(Tensor, layer.num_batches_tracked))
    return made


@contextmanager
def _taking_statistics(network: nn.Module, layers: Iterable[_BatchNorm]) -> Iterator[None]:
    """While inside, `layers` take the mean of the statistics of all batches, the rest of `network` acts as in use."""
    modes = [(module, module.training) for module in network.modules()]
    momenta = [(layer, layer.momentum) for layer in layers]
    network.eval()
    for layer, _ in momenta:
        layer.train()
        layer.momentum = None  # torch's way to ask for a mean instead of a running one
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for layer, momentum in momenta:
            layer.momentum = momentum
