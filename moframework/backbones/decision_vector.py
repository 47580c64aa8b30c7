"""A network that is nothing but the vector it returns: what is trained on analytic problems."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from moframework.backbones.base import Backbone
from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.errors import SpecError

__all__ = ["DecisionVector"]


@config
class DecisionVector(Backbone):
    """The vector of decision variables itself, whatever the input: its one output has a number for each variable.

    `form: vector` keeps it as one bare parameter `x` (n,). `form: linear` makes it the product of a bias-free linear
    layer and the input, a constant for analytic problems: for weight spaces that adapt layers (low-rank adapters), and
    for those that join the preference to the input.

    With `lower` and `upper` the output is `lower + (upper − lower) · sigmoid(x)`: always inside the box, its border
    neared but not reached. A bare vector x starts standard normal, so in the inner part of a box, since problems may be
    flat near its border; a linear layer starts as torch has it. Either is multiplied by `spread`.

    >>> network = DecisionVector(lower=(0.0,), upper=(4.0,), spread=0.0).build((1,), {"x": 3})
    >>> network(torch.ones(1, 1))["x"].detach()  # a start at the middle of the box
    tensor([[2., 2., 2.]])
    """

    form: Literal["vector", "linear"] = option(
        "vector", help="vector: a bare parameter; linear: a linear layer without bias, applied to the input"
    )
    lower: tuple[float, ...] | None = option(None, help="least value, one for all variables or one for each")
    upper: tuple[float, ...] | None = option(None, help="largest value, one for all variables or one for each")
    spread: float = option(1.0, ge=0, help="factor of the start; a small one is near the middle of the box")

    def __attrs_post_init__(self) -> None:
        lower, upper = self.lower, self.upper
        if (lower is None) != (upper is None):
            raise OptionError("give lower and upper, or neither", "upper" if upper is None else "lower")
        if lower is None or upper is None:
            return
        if not lower or not upper or (len(lower) != len(upper) and 1 not in (len(lower), len(upper))):
            raise OptionError(
                f"lower and upper have {len(lower)} and {len(upper)} numbers, which do not match", "upper"
            )
        if not all(math.isfinite(value) for value in (*lower, *upper)):
            raise OptionError("lower and upper must be finite; leave both out where there is no box", "upper")
        length = max(len(lower), len(upper))
        pairs = zip(lower * (length // len(lower)), upper * (length // len(upper)), strict=True)
        if not all(least < most for least, most in pairs):
            raise OptionError(
                f"every number of upper must be above that of lower, but they are {upper} and {lower}", "upper"
            )

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        """A network for one output, as wide as there are variables.

        Raises:
            SpecError: several outputs, a box of another length, or an input that a bare vector would ignore.
        """
        if len(outputs) != 1:
            raise SpecError(f"backbone decision_vector has one output, but the tasks read {', '.join(outputs)}")
        ((key, size),) = outputs.items()
        if self.form == "vector" and input_shape not in ((), (1,)):
            raise SpecError(
                f"backbone decision_vector, as a bare vector, reads no input, so inputs of shape {input_shape} would "
                "be ignored; `form: linear` reads them"
            )
        for bound in (self.lower, self.upper):
            if bound is not None and len(bound) not in (1, size):
                raise SpecError(f"backbone decision_vector has {len(bound)} bounds for {size} variables")
        box = None if self.lower is None or self.upper is None else _Box(self.lower, self.upper, size)
        if self.form == "linear":
            return _scaled(_Linear(key, math.prod(input_shape), size, box), self.spread)
        return _scaled(_Vector(key, size, box), self.spread)


@torch.no_grad()
def _scaled(network: nn.Module, factor: float) -> nn.Module:
    """The network with its parameters times a factor; 1 changes no bit."""
    for parameter in network.parameters():
        parameter.mul_(factor)
    return network


class _Box(nn.Module):
    """All real numbers into the box."""

    lower: Tensor
    width: Tensor

    def __init__(self, lower: tuple[float, ...], upper: tuple[float, ...], size: int) -> None:
        super().__init__()
        least, most = torch.tensor(lower).expand(size), torch.tensor(upper).expand(size)
        # Options, not state: they are not saved with the weights.
        self.register_buffer("lower", least.clone(), persistent=False)
        self.register_buffer("width", most - least, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Values strictly inside, up to rounding."""
        return self.lower + self.width * torch.sigmoid(x)


class _Vector(nn.Module):
    """{key: (b, n)}, the same vector for every sample."""

    def __init__(self, key: str, size: int, box: _Box | None) -> None:
        super().__init__()
        self.key = key
        self.x = nn.Parameter(torch.randn(size))
        self.box = box

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """The vector, as often as there are inputs (b, ...)."""
        x = self.x if self.box is None else self.box(self.x)
        return {self.key: x.repeat(inputs.shape[0], 1)}


class _Linear(nn.Module):
    """{key: (b, n)}, linear in the input."""

    def __init__(self, key: str, inputs: int, size: int, box: _Box | None) -> None:
        super().__init__()
        self.key = key
        self.layer = nn.Linear(inputs, size, bias=False)
        self.box = box

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """The vector for each of the inputs (b, ...)."""
        x = self.layer(inputs.reshape(inputs.shape[0], -1))
        return {self.key: x if self.box is None else self.box(x)}
