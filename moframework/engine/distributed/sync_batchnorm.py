"""BatchNorm in several processes: statistics of the whole batch where asked for, and running statistics made equal.

In training a BatchNorm layer normalizes by the statistics of the samples that it is given: with `local`, those of one
process's share of the batch, as in `DistributedDataParallel`. Its running statistics then differ between processes;
before each evaluation and checkpoint they become their mean over processes, so that none is thrown away. All other
buffers become those of the first process.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from moframework.processes.world import World

__all__ = ["sync_buffers", "synchronized"]


def sync_buffers(network: nn.Module, world: World) -> None:
    """Make the buffers of `network` the same on all processes; see the module."""
    if world.size == 1:
        return
    running = [
        value
        for layer in network.modules()
        if isinstance(layer, _BatchNorm)
        for value in (layer.running_mean, layer.running_var)
        if value is not None
    ]
    known = {id(value) for value in running}
    for value, mean in zip(running, world.all_reduce_mean(running), strict=True):
        value.copy_(cast(Tensor, mean))
    world.broadcast([value for value in network.buffers() if id(value) not in known])


@contextlib.contextmanager
def synchronized(network: nn.Module, world: World) -> Iterator[None]:
    """While inside, BatchNorm layers in training mode normalize by the statistics of the samples of all processes.

    As `torch.nn.SyncBatchNorm`, which works on CUDA devices only; and the layers themselves stay what they are. Costs
    two sums over processes a layer and forward pass, and two a backward pass.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]
    for layer in layers:
        layer.forward = functools.partial(_forward, layer, type(layer).forward, world)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _forward(layer: _BatchNorm, plain: object, world: World, x: Tensor) -> Tensor:
    if not layer.training:
        return cast(Tensor, plain(layer, x))  # type: ignore[operator]
    others = [d for d in range(x.dim()) if d != 1]
    shape = [-1 if d == 1 else 1 for d in range(x.dim())]
    wide = x if x.dtype is torch.float64 else x.float()
    total = world.differentiable_all_reduce(torch.cat([wide.sum(others), wide.new_tensor([x.numel() / x.shape[1]])]))
    count = total[-1].detach()
    mean = total[:-1] / count
    centered = wide - mean.view(shape)
    variance = world.differentiable_all_reduce(centered.square().sum(others)) / count
    result = centered * torch.rsqrt(variance + layer.eps).view(shape)
    if layer.affine:
        result = result * layer.weight.view(shape) + layer.bias.view(shape)
    if layer.track_running_stats and layer.running_mean is not None:
        tracked = cast(Tensor, layer.num_batches_tracked)
        tracked += 1
        momentum = 1 / tracked.float() if layer.momentum is None else layer.momentum
        with torch.no_grad():
            # Running variances are unbiased, as torch's; one value alone has none and stands in for itself.
            layer.running_mean.lerp_(mean.detach(), momentum)
            unbiased = variance.detach() * (count / (count - 1).clamp_min(1))
            cast(Tensor, layer.running_var).lerp_(unbiased, momentum)
    return result.to(x.dtype)
