"""A shared trained network plus one low-rank adapter per objective: the weight space of PaLoRA and LORPMAN.

For every adapted weight (Linear and convolution weights, heads included)

    W(λ) = W0 + (α/r) · Σ_t λ_t B_t A_t                         (PaLoRA, arXiv 2407.08056, Eq. 2)

and W0 is trained, not frozen. Biases, normalization and everything else are shared by all λ. A is drawn kaiming-uniform
with a = √5, B is zero, so at the start every λ gives the same network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.errors import SpecError
from moframework.weights.base import WeightSpace, WeightSpaceConfig

__all__ = ["LowRank", "LowRankSpace"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@config
class LowRank(WeightSpaceConfig):
    """Shared network plus low-rank adapters (PaLoRA, ICLR 2025, arXiv 2407.08056).

    Overhead in parameters of the `loralib` form, rank r: a Linear layer costs m·r·(in + out), a k×k convolution
    m·r·k²·(in + out/groups); for LeNet on 1×28×28 with two 10-way heads, r = 1, m = 2 that is 3,430 of 27,450.
    """

    rank: int = option(4, ge=1, help="rank r of each adapter")
    alpha: float = option(
        1.0, gt=0, help="scale α of the adapters: they are multiplied by α/r; sets the width of the front"
    )
    conv: Literal["loralib", "peft"] = option(
        "loralib",
        help="form of a convolution's adapter: loralib (B·A reshaped to the kernel, rank budget r·k; as published) "
        "or peft (a k×k convolution to r channels, then 1×1)",
    )
    lr_factor: float | None = option(
        None, gt=0, help="learning rate of the adapters over that of the shared network; none means m, as published"
    )

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """The space around one network made by `make`, or around `initial`."""
        return LowRankSpace(make(), m, self, initial)


class LowRankSpace(WeightSpace):
    """θ(λ) = θ0 plus, for every adapted weight, (α/r) Σ_t λ_t B_t A_t.

    Storage: the factors of all m objectives of one layer are stacked, A (m·q, c) and B (o, m·q) with q the inner
    rank, so that Σ_t λ_t B_t A_t is one matrix product: (B ⊙ [λ ⊗ 1_q]) A.
    """

    def __init__(self, network: nn.Module, m: int, options: LowRank, initial: Mapping[str, Tensor] | None) -> None:
        super().__init__()
        self.m = m
        self.scale = options.alpha / options.rank
        self.lr_factor = float(m) if options.lr_factor is None else options.lr_factor
        parameters = dict(network.named_parameters())
        adapted = _adapted_weights(network, parameters)
        if not adapted:
            raise SpecError(
                f"low-rank adapters need at least one Linear or convolution layer; {type(network).__name__} has none. "
                "Use another weight space (for example `finite`) or another backbone."
            )
        self._names = list(parameters)
        self._adapted = list(adapted)
        self._shapes = {name: parameters[name].shape for name in adapted}
        self._conv_forms = {name: options.conv if module is not None else None for name, module in adapted.items()}
        # Names of parameters may hold dots, which ParameterList does not mind; the order is that of the network.
        self.shared = nn.ParameterList()
        for name, value in parameters.items():
            start = value if initial is None or name not in initial else initial[name].to(value)
            self.shared.append(nn.Parameter(start.detach().clone(), requires_grad=value.requires_grad))
        self.a = nn.ParameterList()
        self.b = nn.ParameterList()
        self._inner: list[int] = []
        for name, module in adapted.items():
            shape_a, shape_b = _factor_shapes(parameters[name].shape, module, options)
            like = parameters[name]
            factors = []
            for _ in range(m):
                factor = torch.empty(shape_a, dtype=like.dtype, device=like.device)
                nn.init.kaiming_uniform_(factor, a=math.sqrt(5))
                factors.append(factor)
            self._inner.append(shape_a[0])
            self.a.append(nn.Parameter(torch.cat(factors)))
            self.b.append(nn.Parameter(torch.zeros(shape_b[0], m * shape_b[1], dtype=like.dtype, device=like.device)))

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        """See `WeightSpace.weights`: one scaled copy of B and one `addmm` per adapted weight."""
        theta: dict[str, Tensor] = dict(zip(self._names, self.shared, strict=True))
        spread: dict[int, Tensor] = {}
        for name, a, b, inner in zip(self._adapted, self.a, self.b, self._inner, strict=True):
            if inner not in spread:
                spread[inner] = preference.to(b.dtype).repeat_interleave(inner, output_size=self.m * inner)
            theta[name] = self._merge(name, theta[name], a, b * spread[inner])
        return theta

    def _merge(self, name: str, base: Tensor, a: Tensor, weighted_b: Tensor) -> Tensor:
        shape = self._shapes[name]
        form = self._conv_forms[name]
        if form is None:
            return torch.addmm(base, weighted_b, a, alpha=self.scale)
        if form == "peft":  # B (out, r), A (r, in/groups · k…): the product is the kernel, row by row
            return torch.addmm(base.reshape(shape[0], -1), weighted_b, a, alpha=self.scale).view(shape)
        product = weighted_b @ a  # loralib: the product's memory, read in order, is the kernel
        return torch.add(base, product.view(shape), alpha=self.scale)

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """The shared network at `lr`, the adapters at `lr_factor · lr`."""
        return [
            {"name": "shared", "params": [p for p in self.shared if p.requires_grad], "lr": lr},
            {"name": "adapters", "params": [*self.a, *self.b], "lr": lr * self.lr_factor},
        ]


def _adapted_weights(network: nn.Module, parameters: Mapping[str, Tensor]) -> dict[str, nn.Module | None]:
    """Names of the weights that get adapters, in the order of the network; the value is the convolution, or None for
    Linear."""
    found: dict[str, nn.Module | None] = {}
    for prefix, module in network.named_modules():
        if not isinstance(module, (nn.Linear, *_CONVOLUTIONS)):
            continue
        name = f"{prefix}.weight" if prefix else "weight"
        if name in parameters:  # a tied weight is listed once, under its first name
            found[name] = module if isinstance(module, _CONVOLUTIONS) else None
    return found


def _factor_shapes(
    shape: torch.Size, module: nn.Module | None, options: LowRank
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Shapes of one objective's A (q, columns) and B (rows, q)."""
    r = options.rank
    if module is None:  # Linear: (out, in)
        return (r, shape[1]), (shape[0], r)
    out, per_group, *kernel = shape
    if options.conv == "peft":
        return (r, per_group * math.prod(kernel)), (out, r)
    # loralib: rows (out/groups)·k, columns in·k, inner rank r·k. For a kernel that is not square, rows take its
    # first side and columns the product of the others, which keeps rows · columns = the kernel's size.
    groups = int(module.groups)  # type: ignore[arg-type]
    first, rest = kernel[0], math.prod(kernel[1:])
    inner = r * first
    return (inner, per_group * groups * rest), (out // groups * first, inner)
