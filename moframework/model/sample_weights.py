"""One pass through a network in which each sample of a batch has weights of its own, which are never made.

Each layer is linear in its weights. So what it makes of a sample with a combination of several weights is the same
combination of what it makes with each of them:

    layer(x_i; Σ_k c_k(λ_i) W_k) = Σ_k c_k(λ_i) layer(x_i; W_k)

For a convex hull the W_k are the weights of its members. For low-rank adapters W_0 is shared, and the others are
products of thin factors, applied one after the other: x_i W(λ_i)ᵀ = x_i W0ᵀ + ((x_i Aᵀ) ⊙ f_i) Bᵀ, little beside the
first. Where a convolution's factors are no convolutions (the `loralib` form), the products are made: W is affine in λ,
whose entries sum to 1, so that m convolutions with weights of the layer's size do.

Only networks that are known to treat samples one by one, along the first dimension of what each layer reads
(`sample_mixing`), are run like this, in use, not in training.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from attrs import frozen
from torch import Tensor, nn
from torch.nn import functional

from moframework.weights.adapters import Adapter

__all__ = ["NORMALIZATIONS", "Factored", "Members", "forwards", "layer_forward"]

Run = Callable[..., Any]

NORMALIZATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm)
_NARROW = 4
_CONVOLVE: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.Conv1d: functional.conv1d,
    nn.Conv2d: functional.conv2d,
    nn.Conv3d: functional.conv3d,
}


@frozen(eq=False)
class Factored:
    """A weight with an adapter for each sample, W_i = W0 + (B ⊙ f_i) A.

    Attributes:
        adapter: its form.
        base, b, a: W0, B (o, m·q) and A (m·q, c).
        factors: f (b, m·q), the scaled preferences, each entry q times.
        scale: what the preferences are multiplied with in f.
    """

    adapter: Adapter
    base: Tensor
    b: Tensor
    a: Tensor
    factors: Tensor
    scale: float

    def linear(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """x_i W_iᵀ + bias for x (b, ..., c)."""
        result = functional.linear(x, self.base, bias)
        if x.dim() == 2:
            return torch.addmm(result, functional.linear(x, self.a) * self.factors, self.b.t())
        hidden = functional.linear(x, self.a) * _last(self.factors, x)
        if _in_place() and result.is_contiguous() and hidden.is_contiguous() and result.dtype == self.b.dtype:
            result.view(-1, result.shape[-1]).addmm_(hidden.view(-1, hidden.shape[-1]), self.b.t())
            return result
        added = torch.addmm(result.flatten(0, -2), hidden.flatten(0, -2), self.b.t())
        return added.view(result.shape)

    def layer(self, layer: nn.Module, x: Tensor) -> Tensor:
        """What an embedding or convolution layer makes of x (b, ...)."""
        if isinstance(layer, nn.Embedding):
            hidden = functional.embedding(x, self.b) * _last(self.factors, x.unsqueeze(-1))
            return _run(layer, {"weight": self.base}, x) + functional.linear(hidden, self.a.t())
        ordered, products = self.adapter.order is not None, self.factors.shape[1] // self.adapter.inner
        thin = 2 * (self.a.numel() + self.b.numel()) < products * self.base.numel()
        if thin and getattr(layer, "groups", 0) == 1 and type(layer) in _CONVOLVE:
            if not ordered and self.adapter.rows == len(self.base):
                return self._one_by_one(layer, x)
            zeros = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
            if ordered and isinstance(layer, nn.Conv2d) and zeros:
                return self._row_and_column(layer, x)
        return self._affine(layer, x)

    def _one_by_one(self, layer: nn.Module, x: Tensor) -> Tensor:
        """The `peft` form: a convolution to m·q channels, then one of a single place."""
        result = _run(layer, {"weight": self.base}, x)
        hidden = _run(layer, {"weight": self.a.view(-1, *self.base.shape[1:]), "bias": None}, x)
        back = self.b.view(*self.b.shape, *(1 for _ in self.base.shape[2:]))
        return result + _CONVOLVE[type(layer)](hidden * _channels(self.factors, hidden), back)

    def _row_and_column(self, layer: nn.Conv2d, x: Tensor) -> Tensor:
        """The `separable` form: filters of one row, then filters of one column."""
        out, channels, height, width = self.base.shape
        row = self.a.view(-1, width, channels).transpose(1, 2).unsqueeze(2)
        column = self.b.view(out, height, -1).transpose(1, 2).unsqueeze(3)
        (down, right), (top, left) = layer.stride, cast("tuple[int, int]", layer.padding)
        tall, wide = layer.dilation
        hidden = functional.conv2d(x, row, None, (1, right), (0, left), (1, wide))
        hidden = hidden * _channels(self.factors, hidden)
        result = _run(layer, {"weight": self.base}, x)
        return result + functional.conv2d(hidden, column, None, (down, 1), (top, 0), (tall, 1))

    def _affine(self, layer: nn.Module, x: Tensor) -> Tensor:
        """Any convolution, with the products made."""
        q = self.adapter.inner
        scaled = self.factors[:, ::q]
        m = scaled.shape[1]
        products = [self._product(self.b[:, t * q : (t + 1) * q], self.a[t * q : (t + 1) * q]) for t in range(m)]
        base = self.base
        if _exact(scaled):
            terms, coefficients = products, scaled
        else:  # λ_1 is what the others leave of 1
            first = products[0]
            base = torch.add(base, first, alpha=self.scale)
            terms, coefficients = [other - first for other in products[1:]], scaled[:, 1:]
        if type(layer) in _CONVOLVE and layer.groups == 1 and base.shape[1] <= _NARROW:
            # A convolution is linear in what it reads, too, and with few channels that is less than what it returns.
            read = torch.cat([x, *(x * _single(each, x) for each in coefficients.unbind(1))], dim=1)
            return _run(layer, {"weight": torch.cat([base, *terms], dim=1)}, read)
        result = _run(layer, {"weight": base}, x)
        for term, each in zip(terms, coefficients.unbind(1), strict=True):
            part = _run(layer, {"weight": term, "bias": None}, x)
            result = _added(result, part, _single(each, part))
        return result

    def _product(self, b: Tensor, a: Tensor) -> Tensor:
        """B A as the weight."""
        shape, order = self.adapter.shape, self.adapter.order
        if order is not None:
            product = torch.mm(b, a).view([shape[axis] for axis in order])
            return product.permute([order.index(axis) for axis in range(len(order))])
        product = torch.mm(b, a).view(shape)
        if len(shape) == 4 and self.base.is_contiguous(memory_format=torch.channels_last):
            return product.contiguous(memory_format=torch.channels_last)
        return product


@frozen(eq=False)
class Members:
    """A weight and a bias that are combined of several for each sample.

    Attributes:
        weights: one for each member.
        biases: the same; empty where the layer has none.
        coefficients: c (b, n) for n members.
    """

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]
    coefficients: Tensor

    def linear(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Σ_k c_ik (x_i W_kᵀ + bias_k) for x (b, ..., c)."""
        return self._combined(lambda k: functional.linear(x, self.weights[k], self._bias(k)))

    def layer(self, layer: nn.Module, x: Tensor) -> Tensor:
        """What a layer that is linear in its weight and bias makes of x (b, ...)."""
        if isinstance(layer, NORMALIZATIONS):
            return self._normalized(layer, x)
        own = ("weight", "bias") if self.biases else ("weight",)

        def result(k: int) -> Tensor:
            values = dict(zip(own, (self.weights[k], self._bias(k)), strict=False))
            return _run(layer, values, x)

        return self._combined(result)

    def value(self) -> Tensor:
        """The weights themselves, (1, ...) each, as (b, ...)."""
        return self._combination(self.weights).flatten(0, 1)

    def _bias(self, k: int) -> Tensor | None:
        return self.biases[k] if self.biases else None

    def _combination(self, values: Sequence[Tensor]) -> Tensor:
        """Σ_k c_ik v_k for v (...): (b, ...)."""
        flat = self.coefficients @ torch.stack([value.flatten() for value in values])
        return flat.view(-1, *values[0].shape)

    def _combined(self, result: Callable[[int], Tensor]) -> Tensor:
        first = result(0)
        each = [_single(own, first) for own in self.coefficients.unbind(1)]
        if len(each) == 2 and not _exact(self.coefficients):
            return torch.lerp(first, result(1), each[1])
        total = first * each[0]
        for k, own in enumerate(each[1:], start=1):
            total = _added(total, result(k), own)
        return total

    def _normalized(self, layer: nn.Module, x: Tensor) -> Tensor:
        weight = self._combination(self.weights)
        bias = self._combination(self.biases) if self.biases else torch.zeros_like(weight)
        if isinstance(layer, nn.LayerNorm):
            normal = _run(layer, {"weight": None, "bias": None}, x)
            inner = (len(x), *(1 for _ in x.shape[1 : x.dim() - len(layer.normalized_shape)]), *layer.normalized_shape)
            return torch.addcmul(bias.view(inner), normal, weight.view(inner))
        if isinstance(layer, nn.GroupNorm):
            normal = _run(layer, {"weight": None, "bias": None}, x)
            return torch.addcmul(_channels(bias, x), normal, _channels(weight, x))
        statistics = cast("nn.BatchNorm2d", layer)
        mean, variance = cast(Tensor, statistics.running_mean), cast(Tensor, statistics.running_var)
        weight = weight * torch.rsqrt(variance + statistics.eps)
        return torch.addcmul(_channels(bias - mean * weight, x), x, _channels(weight, x))


def _attention(layer: nn.MultiheadAttention, own: Mapping[str, Any], x: Tensor, *_: Tensor, **__: Any) -> Any:
    """What attention of a sequence x (b, s, d) to itself makes, as torchvision's encoder calls it: without masks.

    Args:
        own: what stands for the weights of `in_proj` and `out_proj`; the layer's own where one is missing.
    """
    read = own.get("in_proj")
    projected = (
        functional.linear(x, cast(Tensor, layer.in_proj_weight), layer.in_proj_bias)
        if read is None
        else read.linear(x, layer.in_proj_bias)
    )
    count, places, width = x.shape
    heads = projected.view(count, places, 3, layer.num_heads, width // layer.num_heads).permute(2, 0, 3, 1, 4)
    attended = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2])
    attended = attended.transpose(1, 2).reshape(count, places, width)
    last = own.get("out_proj")
    if last is None:
        return functional.linear(attended, layer.out_proj.weight, layer.out_proj.bias), None
    return last.linear(attended, layer.out_proj.bias), None


@contextlib.contextmanager
def forwards(runs: Mapping[nn.Module, Run]) -> Iterator[None]:
    """While inside, modules do this in the place of their `forward`."""
    for module, run in runs.items():
        vars(module)["forward"] = run
    try:
        yield
    finally:
        for module in runs:
            vars(module).pop("forward", None)


def layer_forward(layer: nn.Module, own: Mapping[str, Any]) -> Run:
    """The forward of a layer with what stands for its weight: under ``; of attention under `in_proj` and `out_proj`."""
    if isinstance(layer, nn.MultiheadAttention):
        return partial(_attention, layer, own)
    if isinstance(layer, nn.Linear):
        return partial(_linear, layer._parameters, own[""])
    return partial(own[""].layer, layer)


def _linear(registry: Mapping[str, Any], own: Any, x: Tensor) -> Tensor:
    result: Tensor = own.linear(x, registry["bias"])
    return result


def _run(layer: nn.Module, values: Mapping[str, Tensor | None], x: Tensor) -> Tensor:
    """What a layer makes of x with these in the place of its parameters."""
    registry: dict[str, Any] = layer._parameters
    before = {key: registry[key] for key in values}
    registry.update(values)
    try:
        result: Tensor = type(layer).forward(layer, x)
        return result
    finally:
        registry.update(before)


def _added(total: Tensor, part: Tensor, factor: Tensor) -> Tensor:
    """`total + part · factor`, in the memory of `total` where nothing else can know it."""
    return total.addcmul_(part, factor) if _in_place() else torch.addcmul(total, part, factor)


def _in_place() -> bool:
    return not (torch.is_grad_enabled() or torch._C._are_functorch_transforms_active())


def _exact(coefficients: Tensor) -> bool:
    """Whether the sum of a preference's entries is taken as it is, not as 1, which it is to rounding of float32; and
    each entry gets a gradient of its own."""
    return coefficients.requires_grad or coefficients.dtype == torch.float64


def _last(factors: Tensor, like: Tensor) -> Tensor:
    """(b, q) for a tensor (b, ..., q)."""
    return factors.view(len(factors), *(1 for _ in like.shape[1:-1]), -1)


def _channels(factors: Tensor, like: Tensor) -> Tensor:
    """(b, q) for a tensor (b, q, ...)."""
    return factors.view(*factors.shape, *(1 for _ in like.shape[2:]))


def _single(column: Tensor, like: Tensor) -> Tensor:
    """(b,) for a tensor (b, ...)."""
    return column.view(-1, *(1 for _ in like.shape[1:]))
