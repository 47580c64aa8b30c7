"""One network that is given the preference with its input: the weight space of COSMOS.

The weights are the same for every λ. What depends on λ is a buffer of the network: `ConditionedNetwork` joins it to the
input, and θ(λ) names it beside the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from moframework.config import config
from moframework.errors import SpecError
from moframework.layers.shared_concat import concatenated, shared_concat
from moframework.weights.base import WeightSpace, WeightSpaceConfig
from moframework.weights.starting import listed, starting_values

__all__ = ["Conditioned", "ConditionedNetwork", "ConditionedSpace"]


@config
class Conditioned(WeightSpaceConfig):
    """One network with λ as a further input (COSMOS, Ruchte and Grabocka, ICDM 2021, arXiv 2103.13392).

    Inputs that are vectors are lengthened by λ; images get m more channels, λ enlarged by two transposed convolutions.
    Overhead in parameters: m for each unit of the first layer (for each place of the kernel, where it convolves), and
    52·m² of the transposed convolutions for images. Other inputs, and networks that do not read theirs, are refused.
    """

    def network(
        self, backbone: Callable[[tuple[int, ...]], nn.Module], input_shape: tuple[int, ...], m: int
    ) -> nn.Module:
        """The backbone for inputs with λ joined to them, and what joins it."""
        if len(input_shape) not in (1, 3):
            raise SpecError(
                "weights: conditioning joins the preference to vectors (n,) or images (channels, height, width), but "
                f"inputs are {tuple(input_shape)}. Use another weight space."
            )
        first, *rest = input_shape
        return ConditionedNetwork(backbone((first + m, *rest)), tuple(input_shape), m)

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """The space of one network made by `make`, which is a `ConditionedNetwork`."""
        network = make()
        if not isinstance(network, ConditionedNetwork):
            raise SpecError("weights: conditioning needs the network that `Conditioned.network` makes")
        _check_reads_input(network)
        return ConditionedSpace(starting_values(network, initial))


class ConditionedNetwork(nn.Module):
    """A network that reads its input with the preference joined to it; λ is the buffer `preference` (m,).

    Attributes:
        lazy: whether, in training, the first layer need not see the concatenation: see `layers.shared_concat`.
    """

    preference: Tensor

    def __init__(self, network: nn.Module, input_shape: tuple[int, ...], m: int) -> None:
        super().__init__()
        self.network = network
        self.input_shape = input_shape
        self.lazy = False
        self.register_buffer("preference", torch.full((m,), 1 / m))
        # Kernels and strides of the released code: λ (m, 1, 1) to (m, 10, 10).
        self.enlarge = (
            nn.Sequential(
                nn.ConvTranspose2d(m, m, 4, bias=False),
                nn.ReLU(),
                nn.ConvTranspose2d(m, m, 6, stride=2, padding=1, bias=False),
                nn.ReLU(),
            )
            if len(input_shape) == 3
            else None
        )

    def forward(self, x: Tensor) -> Any:
        """What the network returns for inputs (b, *input_shape)."""
        # What is compiled or exported is plain.
        lazy = self.lazy and self.training and not torch.compiler.is_compiling()
        return self.network(shared_concat(x, self._shared(x, self._enlarged())) if lazy else self.joined(x))

    def joined(self, x: Tensor) -> Tensor:
        """x with λ: vectors (b, n + m), or images (b, channels + m, height, width)."""
        return concatenated(x, self.shared(x))

    def shared(self, x: Tensor) -> Tensor:
        """What is joined to every sample of x: (1, m), or (1, m, height, width)."""
        return self._shared(x, None if self.enlarge is None else self.enlarge(self.preference.view(1, -1, 1, 1)))

    def _shared(self, x: Tensor, maps: Tensor | None) -> Tensor:
        if maps is None:
            return self.preference.to(x.dtype).unsqueeze(0)
        return nn.functional.interpolate(maps, size=x.shape[-2:])

    def _enlarged(self) -> Tensor | None:
        """What `enlarge` makes of λ, by the products that its convolutions are: choosing a kernel for so small ones
        takes a CPU three times as long as computing them."""
        if self.enlarge is None:
            return None
        m, (first, _, second, _) = len(self.preference), cast("tuple[nn.ConvTranspose2d, ...]", tuple(self.enlarge))
        small = (self.preference @ first.weight.reshape(m, -1)).relu().view(m, -1)
        columns = second.weight.reshape(m, -1).t() @ small
        places = 4 + 2 * (4 - 1)
        maps = nn.functional.fold(columns.unsqueeze(0), (places, places), kernel_size=6, padding=1, stride=2)
        return maps.relu()


class ConditionedSpace(WeightSpace):
    """θ(λ) = (θ, λ): one set of parameters, and the preference in the place of the network's buffer."""

    def __init__(self, start: dict[str, nn.Parameter]) -> None:
        super().__init__()
        self._names = list(start)
        self.network = nn.ParameterList(start.values())

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        theta: dict[str, Tensor] = dict(zip(self._names, listed(self.network), strict=True))
        like = theta[self._names[0]]
        theta["preference"] = preference.to(like.device, like.dtype, non_blocking=True)
        return theta


@torch.enable_grad()
def _check_reads_input(network: ConditionedNetwork) -> None:
    """Refuse networks that cannot take, or never look at, what the preference is joined to."""
    x = network.joined(torch.zeros(2, *network.input_shape)).detach().requires_grad_()
    modes = {module: module.training for module in network.modules()}
    try:
        result = network.eval().network(x)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise SpecError(
            f"weights: the network does not take its input with the preference joined to it ({error}). "
            "Use another weight space."
        ) from error
    finally:
        for module, mode in modes.items():
            module.training = mode
    outputs = result.values() if isinstance(result, Mapping) else [result] if isinstance(result, Tensor) else result
    touched = [output for output in outputs if output.requires_grad]
    torch.autograd.backward([output.sum() for output in touched])  # reentrant checkpoints know no `grad`
    network.zero_grad()
    if x.grad is None:
        raise SpecError(
            "weights: the network does not read its input, so a preference joined to it has no effect. "
            "Use another weight space."
        )
