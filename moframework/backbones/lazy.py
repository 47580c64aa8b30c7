"""Lazy modules: layers that find their sizes when they are first called."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy

from moframework.errors import SpecError
from moframework.inputs import InputForm, called

__all__ = ["materialized"]


def materialized(network: nn.Module, inputs: InputForm) -> nn.Module:
    """A network whose lazy layers have their sizes, found by calling it once on two inputs of zeros, in use rather than
    in training.

    Args:
        network: changed in place; nothing is called where it has no lazy layers.
        inputs: what it is given.

    Raises:
        SpecError: it cannot be called so.
    """
    waiting = [name for name, module in network.named_modules() if _waits(module)]
    if not waiting:
        return network
    modes = [(module, module.training) for module in network.modules()]
    try:
        with torch.no_grad():
            called(network.eval(), inputs.example(2), inputs.resolved(network).call)
    except Exception as error:  # whatever a network of one's own raises
        raise SpecError(
            f"backbone: the lazy layers {', '.join(waiting)} find their sizes when they are first called, and the "
            f"network cannot be called with zeros, two samples of {inputs}: {type(error).__name__}: {error}. Give "
            "these layers their sizes, or call the network once on a sample where it is made."
        ) from error
    finally:
        for module, training in modes:
            module.training = training
    return network


def _waits(module: nn.Module) -> bool:
    tensors: list[Tensor | None] = [*module._parameters.values(), *module._buffers.values()]
    return isinstance(module, LazyModuleMixin) and any(tensor is not None and is_lazy(tensor) for tensor in tensors)
