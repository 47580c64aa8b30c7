"""Tiny networks of every kind of layer, for all weight spaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

__all__ = ["OPAQUE", "ZOO", "Member"]


@frozen
class Member:
    """A network for inputs of the given shape. Conditioned inputs need one that takes more channels or features, made
    with `channels`."""

    make: Callable[[int], nn.Module]
    shape: tuple[int, ...]
    tokens: bool = False
    """Inputs are integers below 7."""

    def inputs(self, count: int = 3) -> Tensor:
        if self.tokens:
            return torch.randint(7, (count, *self.shape))
        return torch.randn(count, *self.shape)


class Attention(nn.Module):
    """One sequence to another; keys and values of other widths have projections of their own."""

    def __init__(self, width: int, others: int | None = None) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(
            width, 2, batch_first=True, kdim=others, vdim=others, add_bias_kv=others is None
        )
        self.others = others

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.others is None else x[..., : self.others]
        result: Tensor = self.attention(x, y, y, need_weights=False)[0]
        return result


class Tied(nn.Module):
    """An embedding whose weight is also the last layer's, as in language models."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4, padding_idx=0)
        self.norm = nn.LayerNorm(4)
        self.output = nn.Linear(4, 7, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        result: Tensor = self.output(self.norm(self.embedding(tokens)))
        return result


class Odd(nn.Module):
    """A bare parameter, a number, a frozen parameter, buffers (one not saved), and a parameter of four dimensions that
    is no kernel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, 4)
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.shift = nn.Parameter(torch.randn(4))
        self.table = nn.Parameter(torch.randn(1, 2, 1, 4))
        self.frozen = nn.Parameter(torch.randn(4), requires_grad=False)
        self.register_buffer("offset", torch.randn(4))
        self.register_buffer("hidden", torch.randn(4), persistent=False)

    offset: Tensor
    hidden: Tensor

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.first(x) * self.scale + self.shift + self.table.sum(dim=(0, 1, 2))
        return features * self.frozen + self.offset


def frozen_in_part(channels: int) -> nn.Module:
    """A convolution and its normalization that are not trained, before one that is."""
    network = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    for parameter in network[:2].parameters():
        parameter.requires_grad_(False)
    return network


class Recurrent(nn.Module):
    """An LSTM over time steps."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cell = nn.LSTM(width, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.cell(x)[0]
        return result


class Rounded(torch.autograd.Function):
    """Rounding to hundredths whose gradient passes straight through."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return (value * 100).round() / 100

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class Product(torch.autograd.Function):
    """A linear layer as a hand-written kernel has it: it is given the weight, and keeps it for the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x @ weight.t()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return gradient @ weight, gradient.reshape(-1, len(weight)).t() @ x.reshape(-1, x.shape[-1])


class Quantized(nn.Linear):
    """A layer whose weight is rounded before use."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, Rounded.apply(self.weight), self.bias)


class QuantizedConvolution(nn.Conv2d):
    """The same for images."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, Rounded.apply(self.weight), self.bias, self.stride, self.padding)


class HandWritten(nn.Linear):
    """A layer that never calls a function of torch with its weight, but once, and then again as it is."""

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = Product.apply(x, self.weight) + functional.linear(x, self.weight, self.bias)
        return result


class Reader(nn.Module):
    """Reads the weight of a layer that it also calls."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        decay = self.layer.weight.square().sum() + Rounded.apply(self.layer.weight).abs().mean()
        result: Tensor = self.layer(x) * (1 + 0.1 * decay)
        return result


class Squeezed(nn.Module):
    """First of all, rounds what it reads."""

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = Rounded.apply(x)
        return result


class Sensitive(nn.Module):
    """Adds how its result depends on its input: a gradient in the forward pass, to be differentiated again."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(width, 6), nn.Tanh(), nn.Linear(6, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = x if x.requires_grad else x.detach().requires_grad_()
        with torch.enable_grad():
            result: Tensor = self.inner(x)
            (slope,) = torch.autograd.grad(result.sum(), x, create_graph=torch.is_grad_enabled())
        return result + slope.square().sum(dim=-1, keepdim=True)


class Mapped(nn.Module):
    """Goes through the samples by `vmap`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = torch.func.vmap(self.layer)(x)
        return result


class Checkpointed(nn.Module):
    """Keeps no activations of its inner part, but runs it again in the backward pass."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, 6)
        self.inner = nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 6), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = checkpoint(self.inner, self.first(x), use_reentrant=False)
        return result


OPAQUE: dict[str, Member] = {
    "quantized": Member(lambda n: nn.Sequential(Quantized(n, 6), nn.Tanh(), Quantized(6, 2)), (5,)),
    "quantized convolution": Member(
        lambda n: nn.Sequential(QuantizedConvolution(n, 4, 3), nn.Tanh(), nn.Conv2d(4, 2, 1)), (3, 6, 6)
    ),
    "hand-written": Member(lambda n: nn.Sequential(HandWritten(n, 6), nn.Tanh(), HandWritten(6, 2)), (5,)),
    "read by another": Member(Reader, (5,)),
    "rounded first": Member(lambda n: nn.Sequential(Squeezed(), nn.Linear(n, 4)), (5,)),
    "rounded images first": Member(lambda n: nn.Sequential(Squeezed(), nn.Conv2d(n, 4, 3)), (3, 6, 6)),
    "sensitive": Member(Sensitive, (5,)),
    "mapped": Member(Mapped, (5,)),
}
"""Networks that use weights or inputs otherwise than by calling a layer."""

ZOO: dict[str, Member] = {
    **OPAQUE,
    "linear": Member(lambda n: nn.Sequential(nn.Linear(n, 6), nn.ReLU(), nn.Linear(6, 2)), (5,)),
    "conv1d": Member(lambda n: nn.Sequential(nn.Conv1d(n, 4, 3), nn.BatchNorm1d(4)), (2, 8)),
    "conv2d": Member(
        lambda n: nn.Sequential(nn.Conv2d(n, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)), (3, 6, 6)
    ),
    "conv2d one channel": Member(lambda n: nn.Sequential(nn.Conv2d(n, 4, (3, 2)), nn.GroupNorm(2, 4)), (1, 6, 6)),
    "conv3d": Member(lambda n: nn.Sequential(nn.Conv3d(n, 4, 2), nn.BatchNorm3d(4)), (2, 3, 4, 4)),
    "grouped": Member(
        lambda n: nn.Sequential(nn.Conv2d(n, 8, 1), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 3, groups=2)),
        (3, 6, 6),
    ),
    "transposed 1d": Member(lambda n: nn.ConvTranspose1d(n, 4, 3, stride=2), (2, 5)),
    "transposed 2d": Member(
        lambda n: nn.Sequential(nn.Conv2d(n, 4, 1), nn.ConvTranspose2d(4, 6, (3, 2), groups=2)), (2, 5, 5)
    ),
    "transposed 3d": Member(lambda n: nn.ConvTranspose3d(n, 3, 2), (2, 3, 3, 3)),
    "embedding": Member(
        lambda _: nn.Sequential(nn.Embedding(7, 4), nn.LayerNorm(4), nn.Linear(4, 2)), (5,), tokens=True
    ),
    "bag": Member(lambda _: nn.Sequential(nn.EmbeddingBag(7, 4, mode="mean"), nn.Linear(4, 2)), (5,), tokens=True),
    "tied": Member(lambda _: Tied(), (5,), tokens=True),
    "attention": Member(lambda _: Attention(4), (3, 4)),
    "attention of others": Member(lambda _: Attention(4, others=2), (3, 4)),
    "checkpointed": Member(Checkpointed, (5,)),
    "transformer": Member(
        lambda _: nn.TransformerEncoderLayer(4, 2, dim_feedforward=6, dropout=0.0, batch_first=True), (3, 4)
    ),
    "recurrent": Member(lambda _: nn.Sequential(Recurrent(4), nn.Linear(3, 2)), (3, 4)),
    "odd": Member(Odd, (5,)),
    "frozen in part": Member(frozen_in_part, (3, 6, 6)),
    "instance norm": Member(
        lambda n: nn.Sequential(nn.Linear(n, 4), nn.PReLU(3), nn.InstanceNorm1d(3, affine=True)), (3, 5)
    ),
}
