"""One pass through the network for all groups of a batch that is divided among preferences.

Only a layer that has another weight for each group sees groups (`layers.per_group`); BatchNorm normalizes group by
group. So it is where the space has low-rank adapters, layers alone own its weights, and all modules of the network are
known to mix no samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from moframework.backbones.base import Heads, Shared
from moframework.engine.acceleration.base import Acceleration
from moframework.engine.settings import Training
from moframework.engine.step import Batch, Step
from moframework.layers.per_group import Mixtures, PerGroup, PerGroupNorm
from moframework.losses import group_sums
from moframework.model import ParetoModel
from moframework.weights.low_rank import LowRankSpace

__all__ = ["SinglePass"]

_CONVOLUTIONS: frozenset[type[nn.Module]] = frozenset(
    {nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d}
)
_NORMS: frozenset[type[nn.Module]] = frozenset({nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d})
# Modules that treat every sample of a batch, its first dimension, as if it were alone. A module with code of its own
# may do anything, and a class derived from one of these too.
_APART: frozenset[type[nn.Module]] = _CONVOLUTIONS | {
    *(Shared, Heads, nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.Identity, nn.Flatten),
    *(nn.Linear, nn.Embedding, nn.LayerNorm, nn.GroupNorm),
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d),
    *(nn.Upsample, nn.PixelShuffle, nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d),
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout),
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Tanh, nn.Sigmoid, nn.LogSigmoid, nn.Softplus, nn.Softsign, nn.Tanhshrink, nn.Softshrink, nn.Hardshrink),
    *(nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Threshold),
}
# Of torchvision, which need not be there; its attention is called with samples along the first dimension and no mask.
_APART_NAMES: frozenset[str] = frozenset(
    {
        *(f"torchvision.models.resnet.{name}" for name in ("ResNet", "BasicBlock", "Bottleneck")),
        *(
            f"torchvision.models.vision_transformer.{name}"
            for name in ("VisionTransformer", "Encoder", "EncoderBlock", "MLPBlock")
        ),
    }
)
_ENCODER_BLOCK = "torchvision.models.vision_transformer.EncoderBlock"

# Nanoseconds on a CPU, forward and backward: of a number that a layer returns, for putting the groups of its result
# together; of a module for one pass more, and of an element of the weights for merging and reading it once more. By
# them LeNet (batch 256) takes groups up to M = 4 (1.08 of a step at one preference against 1.17) and one pass for M = 8
# (1.24 against 1.27); ResNet-18 (batch 32) always one pass (M = 2 to 8: 1.11 to 1.24 against 1.26 to 2.80).
_COPY, _MODULE, _ELEMENT = 1.5, 40e3, 7.5


class SinglePass(Acceleration):
    """From preferences to losses in one pass over a divided batch."""

    does: ClassVar[str] = "a divided batch goes through the network in one pass"
    joins = True

    @classmethod
    def declines(cls, step: Step, training: Training) -> str | None:
        """See `Acceleration.declines`."""
        preferences, m = step.method.preferences, len(step.tasks)
        if preferences.batch != "split" or preferences.count(m) == 1:
            return "no batch is divided among preferences"
        if step.per_task:
            return "gradients of single tasks are needed, preference by preference"
        if step.method.objective.separable and len(step.objective_states):
            return "the objective has a state for each preference"
        if training.recompute or training.compile:
            return f"training.{'recompute' if training.recompute else 'compile'} has a way of its own"
        if not isinstance(step.model.space, LowRankSpace):
            return "the weight space has no adapters"
        return _mixing(step.model, step.model.space, m, step.partition.shards_batch)

    def __init__(self, step: Step, training: Training) -> None:
        assert isinstance(step.model.space, LowRankSpace), "asked before"
        self.step, self.model, self.space = step, step.model, step.model.space
        self.norms = _norm_weights(self.model)
        modules = list(self.model.skeleton.modules())
        self._convolves = any(type(module) in _CONVOLUTIONS for module in modules)
        leaves = sum(1 for module in modules if next(module.children(), None) is None)
        self._pass = leaves * _MODULE + sum(value.numel() for value in self.model.space.parameters()) * _ELEMENT
        # Processes must go the same way, though their shares of a batch may differ by a sample.
        self._always = step.place.device.type != "cpu" or step.partition.shared
        step.forwards.append(self)

    def takes(self, batch: Batch) -> bool:
        """Whether one pass over such a batch costs a CPU less than a pass for each group. It depends on shapes alone,
        so that a training that is resumed goes on the same way."""
        if batch.count == 1 or self._always or not self._convolves:
            return batch.count > 1
        returned = _returned(self.model, batch.x[:1])
        return len(batch.x) * returned * _COPY < (batch.count - 1) * self._pass

    def __call__(self, preferences: Tensor, batch: Batch, rows: range) -> Tensor:
        """See `Forward.__call__`."""
        x, targets = batch.x, batch.targets
        sizes = [len(group) for group in x.tensor_split(batch.count)]
        if len(rows) < batch.count:
            start, stop = sum(sizes[: rows.start]), sum(sizes[: rows.stop])
            x, targets = x[start:stop], {key: value[start:stop] for key, value in targets.items()}
            sizes = sizes[rows.start : rows.stop]
        given = self.step.given(self.step.outputs(self.weights(preferences, sizes), x), targets)
        if not self.step.partition.shards_batch:
            losses = [loss.per_group(output, target, sizes) for loss, output, target in given]
        else:
            sums = [group_sums(loss.statistics(output, target), sizes) for loss, output, target in given]
            totals = self.step.partition.reduce_statistics(sums)
            losses = [task.loss.finish(total) for task, total in zip(self.step.tasks, totals, strict=True)]
        return torch.stack(losses, dim=1)

    def weights(self, preferences: Tensor, sizes: Sequence[int]) -> dict[str, Tensor]:
        """θ for preferences (M, m) and the numbers of samples of their groups. Layers that normalize by the batch do so
        group by group, and count every group as a batch."""
        theta, mixtures = self.space.unadapted(), dict[int, Mixtures]()
        for adapter, base, b, a, factors in self.space.adapters(preferences):
            mixture = mixtures.get(id(factors))
            if mixture is None:
                mixture = mixtures[id(factors)] = Mixtures(factors, tuple(sizes))
            theta[adapter.name] = PerGroup(base, b, a, mixture, adapter.order)
        for name, norm in self.norms.items():
            theta[name] = PerGroupNorm(theta[name], tuple(sizes))
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked.add_(len(sizes) - 1)
        return theta


def _mixing(model: ParetoModel, space: LowRankSpace, m: int, shards_batch: bool) -> str | None:
    """What keeps the groups of a batch from going through the network together; None where nothing does."""
    modules = list(model.skeleton.modules())
    attention = [
        cast(nn.MultiheadAttention, module.self_attention) for module in modules if _name(module) == _ENCODER_BLOCK
    ]
    if any(own.bias_k is not None or own.add_zero_attn or _changed(own) for own in attention):
        return "the network's attention is not the usual one"
    inside = {id(part) for own in attention for part in own.modules()}
    mixing = next(
        (module for module in modules if id(module) not in inside and not _treats_samples_apart(module)), None
    )
    if mixing is not None:
        return f"{type(mixing).__name__} is not known to treat samples one by one"
    for adapter, *_ in space.adapters(torch.full((1, m), 1 / m)):
        owners = model.network.owners(adapter.name)
        if not all(_is_layers(module, key) or id(module) in inside for module, key in owners):
            return f"{adapter.name} is not the weight of a layer alone"
    for name, norm in _norm_weights(model).items():
        # A tied weight has the name of its first owner alone.
        if norm.momentum is None or name not in space.unadapted() or len(model.network.owners(name)) > 1:
            return f"{name.rpartition('.')[0]} keeps other statistics than running ones"
        if shards_batch:
            return "BatchNorm layers normalize by what each of several processes has"
    return None


def _norm_weights(model: ParetoModel) -> dict[str, _BatchNorm]:
    """The BatchNorm layers that normalize by the batch, by the names of their weights."""
    return {f"{name}.weight" if name else "weight": norm for name, norm in model.norms().items()}


@torch.no_grad()
def _returned(model: ParetoModel, sample: Tensor) -> int:
    """How many numbers the convolutions and BatchNorm layers make of a sample (1, ...)."""
    found: list[int] = []
    hooks = [
        module.register_forward_hook(lambda module, args, result: found.append(result.numel()))
        for module in model.skeleton.modules()
        if type(module) in _CONVOLUTIONS | _NORMS
    ]
    training = model.training
    model.eval()  # leaves statistics and random numbers alone
    try:
        model.call(model.weights(torch.full((len(model.tasks),), 1 / len(model.tasks))), sample)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return sum(found)


def _is_layers(module: nn.Module, key: str) -> bool:
    return key == "weight" and (type(module) in _CONVOLUTIONS or type(module) in (nn.Linear, nn.Embedding))


def _treats_samples_apart(module: nn.Module) -> bool:
    if (type(module) not in _APART | _NORMS and _name(module) not in _APART_NAMES) or _changed(module):
        return False
    return not isinstance(module, nn.Flatten) or module.start_dim >= 1


def _changed(module: nn.Module) -> bool:
    """Whether something has been put before, after or in the place of what its class does."""
    return "forward" in vars(module) or bool(module._forward_hooks) or bool(module._forward_pre_hooks)


def _name(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"
