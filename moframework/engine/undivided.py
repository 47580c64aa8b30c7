"""Whether a batch that is divided among preferences may go through the network in one piece."""

from __future__ import annotations

import torch
from torch import nn

from moframework.backbones.base import Heads, Shared
from moframework.model import ParetoModel
from moframework.weights.per_sample import PerSample

__all__ = ["goes_undivided"]

# Modules that treat every sample of a batch, its first dimension, as if it were alone. A module with code of its own
# may do anything, and a class derived from one of these too.
_APART: frozenset[type[nn.Module]] = frozenset(
    {
        *(Shared, Heads, nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.Identity, nn.Flatten),
        *(nn.Linear, nn.LayerNorm, nn.GroupNorm),
        *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout),
        *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish),
        *(nn.Tanh, nn.Sigmoid, nn.LogSigmoid, nn.Softplus, nn.Softsign, nn.Tanhshrink, nn.Softshrink, nn.Hardshrink),
        *(nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Threshold),
    }
)


def goes_undivided(model: ParetoModel, m: int) -> bool:
    """Whether one pass with weights of each sample gives what a pass for each piece of the batch gives.

    So it is where the space has such weights (`WeightSpace.weights_per_sample`), only plain linear layers own them, and
    all modules of the network are known to mix no samples.
    """
    weights = model.space.weights_per_sample(torch.full((1, m), 1 / m), [1])
    if weights is None:
        return False
    owners = [owner for name, value in weights.items() if isinstance(value, PerSample) for owner in model.owners(name)]
    if not all(type(module) is nn.Linear and key == "weight" for module, key in owners):
        return False
    return all(_treats_samples_apart(module) for module in model.skeleton.modules())


def _treats_samples_apart(module: nn.Module) -> bool:
    if type(module) not in _APART or "forward" in vars(module):
        return False
    if module._forward_hooks or module._forward_pre_hooks:
        return False
    return not isinstance(module, nn.Flatten) or module.start_dim >= 1
