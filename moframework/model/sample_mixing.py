"""Which networks are known to treat the samples of a batch one by one, but for BatchNorm layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from moframework.backbones.base import Heads, Shared
from moframework.model.protocol import Model
from moframework.weights.adapted import CONVOLUTIONS

__all__ = ["attention_of", "convolves", "mixing", "returned"]

_NORMS: frozenset[type[nn.Module]] = frozenset({nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d})
# Modules that treat every sample of a batch, its first dimension, as if it were alone. A module with code of its own
# may do anything, and a class derived from one of these too.
_APART: frozenset[type[nn.Module]] = _NORMS | {
    *CONVOLUTIONS,
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
_APART_NAMES = {
    *(f"torchvision.models.resnet.{name}" for name in ("ResNet", "BasicBlock", "Bottleneck")),
    *(f"torchvision.models.vision_transformer.{name}" for name in ("VisionTransformer", "Encoder", "MLPBlock")),
    "torchvision.models.vision_transformer.EncoderBlock",
}
_ENCODER_BLOCK = "torchvision.models.vision_transformer.EncoderBlock"


def mixing(model: Model, adapted: Iterable[str]) -> str | None:
    """What keeps groups of a batch from going through a network together; None where nothing does.

    Args:
        adapted: names of the weights that differ between groups: layers alone must own them.
    """
    modules = list(model.skeleton.modules())
    attention = attention_of(model.skeleton)
    if any(own.bias_k is not None or own.add_zero_attn or not own.batch_first or _changed(own) for own in attention):
        return "the network's attention is not the usual one"
    inside = {id(part) for own in attention for part in own.modules()}
    found = [module for module in modules if id(module) not in inside and not _treats_samples_apart(module)]
    if found:
        return f"{type(found[0]).__name__} is not known to treat samples one by one"
    for name in adapted:
        if not all(_is_layers(module, key) or id(module) in inside for module, key in model.network.owners(name)):
            return f"{name} is not the weight of a layer alone"
    return None


def attention_of(network: nn.Module) -> list[nn.MultiheadAttention]:
    """The attention layers of torchvision's transformers."""
    return [cast(nn.MultiheadAttention, m.self_attention) for m in network.modules() if _name(m) == _ENCODER_BLOCK]


def convolves(network: nn.Module) -> bool:
    """Whether a network has convolutions."""
    return any(type(module) in CONVOLUTIONS for module in network.modules())


@torch.no_grad()
def returned(model: Model, sample: Tensor) -> int:
    """How many numbers the convolutions and BatchNorm layers make of a sample (1, ...)."""
    found: list[int] = []
    hooks = [
        module.register_forward_hook(lambda module, args, result: found.append(result.numel()))
        for module in model.skeleton.modules()
        if type(module) in (*CONVOLUTIONS, *_NORMS)
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
    return key == "weight" and (type(module) in CONVOLUTIONS or type(module) in (nn.Linear, nn.Embedding))


def _treats_samples_apart(module: nn.Module) -> bool:
    if (type(module) not in _APART and _name(module) not in _APART_NAMES) or _changed(module):
        return False
    return not isinstance(module, nn.Flatten) or module.start_dim >= 1


def _changed(module: nn.Module) -> bool:
    """Whether something has been put before, after or in the place of what its class does."""
    return "forward" in vars(module) or bool(module._forward_hooks) or bool(module._forward_pre_hooks)


def _name(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"
