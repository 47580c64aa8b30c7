"""Lazy modules: layers that find their sizes when they are first called."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy

from moframework.errors import SpecError

__all__ = ["materialized"]


def materialized(network: nn.Module, input_shape: Sequence[int]) -> nn.Module:
    """A network whose lazy layers have their sizes, found by calling it once on two inputs of zeros, in use rather than
    in training.

    Args:
        network: changed in place; nothing is called where it has no lazy layers.
        input_shape: of one input.

    Raises:
        SpecError: it cannot be called so.
    """
    waiting = [name for name, module in network.named_modules() if _waits(module)]
    if not waiting:
        return network
    modes = [(module, module.training) for module in network.modules()]
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(2, *input_shape))
    except Exception as error:  # whatever a network of one's own raises
        shape = (2, *input_shape)
        raise SpecError(
            f"backbone: the lazy layers {', '.join(waiting)} find their sizes when they are first called, and the "
            f"network cannot be called with zeros of shape {shape}: {type(error).__name__}: "
            f"{error}. Give these layers their sizes, or call the network once on a sample where it is made."
        ) from error
    finally:
        for module, training in modes:
            module.training = training
    return network


def _waits(module: nn.Module) -> bool:
    tensors: list[Tensor | None] = [*module._parameters.values(), *module._buffers.values()]
    return isinstance(module, LazyModuleMixin) and any(tensor is not None and is_lazy(tensor) for tensor in tensors)
