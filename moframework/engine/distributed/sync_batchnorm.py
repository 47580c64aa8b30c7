"""BatchNorm in several processes: statistics of the whole batch where asked for, and running statistics made equal.

In training a BatchNorm layer normalizes by the statistics of the samples that it is given: with `local`, those of one
process's share of the batch, as in `DistributedDataParallel`. Its running statistics then differ between processes;
before each evaluation and checkpoint they become their mean over processes, so that none is thrown away. All other
buffers that a forward pass changes become those of the first process that changed them.

Where processes run different networks of a finite set, a process changes only the buffers of its own ones: what none
has changed since they were made the same last does not count.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from moframework.model import ParetoModel
from moframework.processes.world import World

__all__ = ["BufferSync", "synchronized"]


class BufferSync:
    """Makes the buffers of a model the same on all processes, which call it together; see the module.

    Args:
        model: the same on all processes, buffers included.
        world: the processes.
    """

    def __init__(self, model: ParetoModel, world: World) -> None:
        self.model, self.world = model, world
        self.reset()

    def reset(self) -> None:
        """The buffers are the same on all processes."""
        self._same = [] if self.world.size == 1 else [value.clone() for value in self.model.buffers()]

    def __call__(self) -> None:
        """Make them the same."""
        buffers = list(self.model.buffers())
        if self.world.size == 1 or not buffers:
            return
        own = torch.tensor(
            [float(not torch.equal(value, same)) for value, same in zip(buffers, self._same, strict=True)]
        )
        changed = self.world.all_gather(own.to(buffers[0].device)).cpu()  # (processes, buffers)
        moved = [i for i in range(len(buffers)) if bool(changed[:, i].any())]
        running = {id(value) for value in self.model.running_statistics()}
        means = [i for i in moved if id(buffers[i]) in running]
        sums = self.world.all_reduce_sum([buffers[i] * own[i].to(buffers[i].device) for i in means]) if means else []
        for i, total in zip(means, sums, strict=True):
            buffers[i].copy_(total / changed[:, i].sum().to(total.device))
        for source in range(self.world.size):
            first = [i for i in moved if id(buffers[i]) not in running and int(changed[:, i].argmax()) == source]
            if first:
                self.world.broadcast([buffers[i] for i in first], source)
        self.reset()


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
