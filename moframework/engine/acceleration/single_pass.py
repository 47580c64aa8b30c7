"""Whether a batch that is divided among preferences may go through the network in one piece, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from moframework.backbones.base import Heads, Shared
from moframework.layers.per_group import ByPiece, NormalizedByPiece
from moframework.model import ParetoModel

__all__ = ["Undivided", "undivided"]

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


# Nanoseconds on a CPU, forward and backward: of a number that a layer returns, for putting the pieces of its result
# together; of a module for one pass more, and of an element of the weights for merging and reading it once more. By
# them LeNet (batch 256) takes pieces up to M = 4 (1.08 of a step at one preference against 1.17) and one pass for M = 8
# (1.24 against 1.27); ResNet-18 (batch 32) always one pass (M = 2 to 8: 1.11 to 1.24 against 1.26 to 2.80).
_COPY, _MODULE, _ELEMENT = 1.5, 40e3, 7.5


class Undivided:
    """θ for one pass over all pieces of a batch that see different preferences.

    Args:
        model: one that `undivided` has found to allow it.
        norms: its BatchNorm layers that normalize by the batch, by the names of their weights.
    """

    def __init__(self, model: ParetoModel, norms: Mapping[str, _BatchNorm]) -> None:
        self.model, self.norms = model, norms
        modules = list(model.skeleton.modules())
        self._convolves = any(type(module) in _CONVOLUTIONS for module in modules)
        leaves = sum(1 for module in modules if next(module.children(), None) is None)
        self._pass = leaves * _MODULE + sum(value.numel() for value in model.space.parameters()) * _ELEMENT
        self._returned: dict[torch.Size, int] = {}

    def pays(self, x: Tensor, count: int) -> bool:
        """Whether one pass over a batch costs a CPU less than a pass for each of `count` pieces. It depends on shapes
        alone, so that a training that is resumed goes on the same way."""
        if not self._convolves:
            return True
        if x.shape[1:] not in self._returned:
            self._returned[x.shape[1:]] = _returned(self.model, x[:1])
        return len(x) * self._returned[x.shape[1:]] * _COPY < (count - 1) * self._pass

    def weights(self, preferences: Tensor, sizes: Sequence[int]) -> dict[str, Tensor]:
        """For preferences (M, m) and the numbers of samples of their pieces. Layers that normalize by the batch do so
        piece by piece, and count every piece as a batch."""
        theta = self.model.space.weights_by_piece(preferences, sizes)
        assert theta is not None, "known from the start"
        for name, norm in self.norms.items():
            theta[name] = NormalizedByPiece(theta[name], tuple(sizes))
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked.add_(len(sizes) - 1)
        return theta


def undivided(model: ParetoModel, m: int, processes: int = 1) -> Undivided | None:
    """Not None where one pass gives what a pass for each piece of the batch gives.

    So it is where the space has such weights (`WeightSpace.weights_by_piece`), layers alone own them, and all modules
    of the network are known to mix no samples, but for BatchNorm layers, which one process can let normalize piece by
    piece.
    """
    weights = model.space.weights_by_piece(torch.full((1, m), 1 / m), [1])
    if weights is None:
        return None
    modules = list(model.skeleton.modules())
    attention = [
        cast(nn.MultiheadAttention, module.self_attention) for module in modules if _name(module) == _ENCODER_BLOCK
    ]
    if any(own.bias_k is not None or own.add_zero_attn or _changed(own) for own in attention):
        return None
    inside = {id(part) for own in attention for part in own.modules()}
    for name, value in weights.items():
        if isinstance(value, ByPiece) and not all(
            _is_layers(module, key) or id(module) in inside for module, key in model.owners(name)
        ):
            return None
    norms = {f"{name}.weight" if name else "weight": norm for name, norm in model.norms().items()}
    for name, norm in norms.items():
        # A tied weight has the name of its first owner alone.
        if processes > 1 or norm.momentum is None or name not in weights or len(model.owners(name)) > 1:
            return None
    apart = (module for module in modules if id(module) not in inside)
    return Undivided(model, norms) if all(_treats_samples_apart(module) for module in apart) else None


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
