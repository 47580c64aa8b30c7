"""Whether a batch that is divided among preferences may go through the network in one piece, and whether it should."""

from __future__ import annotations

import torch
from attrs import frozen
from torch import nn

from moframework.backbones.base import Heads, Shared
from moframework.model import ParetoModel
from moframework.weights.per_sample import PerSample

__all__ = ["Undivided", "undivided"]

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


# Costs on a CPU, in units of an adapter's multiply-add for one sample (an eighth of a nanosecond where they were
# measured, products that go back included): of a weight's element for making it, and reading it in a pass of its own;
# of a layer for a pass of its own.
_ELEMENT, _LAYER = 60, 10**6


@frozen
class Undivided:
    """How to tell what one pass costs.

    Attributes:
        layers: rank q, inputs and outputs of each adapted layer.
    """

    layers: tuple[tuple[int, int, int], ...]

    def pays(self, samples: int, count: int) -> bool:
        """Whether one pass over so many samples costs a CPU less than passes of `count` pieces with merged weights.

        Every sample passes through all adapters, every piece needs weights and a pass of its own: pieces cost less
        where they are few and large and the rank is high. Layers that are applied at several places of a sample are
        taken as applied once.

        >>> wide = Undivided(((8, 256, 256),))
        >>> wide.pays(512, 2), wide.pays(4096, 2), wide.pays(4096, 8), wide.pays(512, 1)
        (True, False, True, False)
        """
        whole = sum(samples * q * (i + o) for q, i, o in self.layers)
        piece = sum((q + _ELEMENT) * i * o + _LAYER for q, i, o in self.layers)
        return whole <= (count - 1) * piece


def undivided(model: ParetoModel, m: int) -> Undivided | None:
    """Not None where one pass with weights of each sample gives what a pass for each piece of the batch gives.

    So it is where the space has such weights (`WeightSpace.weights_per_sample`), only plain linear layers own them, and
    all modules of the network are known to mix no samples.
    """
    weights = model.space.weights_per_sample(torch.full((1, m), 1 / m), [1])
    if weights is None:
        return None
    differing = {name: value for name, value in weights.items() if isinstance(value, PerSample)}
    owners = [owner for name in differing for owner in model.owners(name)]
    if not all(type(module) is nn.Linear and key == "weight" for module, key in owners):
        return None
    if not all(_treats_samples_apart(module) for module in model.skeleton.modules()):
        return None
    return Undivided(tuple((*value.a.shape, len(value.b)) for value in differing.values()))


def _treats_samples_apart(module: nn.Module) -> bool:
    if type(module) not in _APART or "forward" in vars(module):
        return False
    if module._forward_hooks or module._forward_pre_hooks:
        return False
    return not isinstance(module, nn.Flatten) or module.start_dim >= 1
