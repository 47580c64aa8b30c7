"""One pass through a network in which each sample of a batch has weights of its own, which are never made.

Each layer is linear in its weights. So what it makes of a sample with a combination of several weights is the same
combination of what it makes with each of them:

    layer(x_i; Σ_k c_k(λ_i) W_k) = Σ_k c_k(λ_i) layer(x_i; W_k)

For a convex hull the W_k are the weights of its members. For low-rank adapters W_0 is shared, and the others are
products of thin factors, applied one after the other: x_i W(λ_i)ᵀ = x_i W0ᵀ + ((x_i Aᵀ) ⊙ f_i) Bᵀ, little beside the
first. Where a convolution's factors are no convolutions (the `loralib` form), or no thin ones, the products are made: W
is affine in λ, whose entries sum to 1, so that m convolutions with weights of the layer's size do.

What stands for a weight is used for one batch after the other, as long as the weights are what they were (`kept`).

Only networks that are known to treat samples one by one, along the first dimension of what each layer reads
(`sample_mixing`), are run like this, in use, not in training.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeGuard, cast

import torch
from attrs import field, frozen
from torch import Tensor, nn
from torch.nn import functional

from moframework.model.coefficients import Coefficients
from moframework.weights.adapted import Adapter

__all__ = ["NORMALIZATIONS", "Factored", "Members", "Run", "forwards", "layer_forward"]

Run = Callable[..., Any]
Terms = tuple[Tensor, Sequence[Tensor]]

NORMALIZATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm)
_NARROW = 4
"""Input channels of a convolution that are no more than this cost little beside what it returns."""
_BLOCK = 16
"""Filters that a processor computes at once: with so few, those of several weights cost less together."""
_CONVOLVE: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.Conv1d: functional.conv1d,
    nn.Conv2d: functional.conv2d,
    nn.Conv3d: functional.conv3d,
}


@frozen(eq=False)
class Factored:
    """A weight with an adapter for each sample, W_i = W0 + Σ_t c_it B_t A_t.

    Attributes:
        adapter: its form.
        base, b, a: W0, B (o, m·q) and A (m·q, c).
        own: c (b, m), the scaled preferences.
        scale: what preferences are multiplied with in c.
        made: what `_affine` makes of the weights, where it is kept.
    """

    adapter: Adapter
    base: Tensor
    b: Tensor
    a: Tensor
    own: Coefficients
    scale: float
    made: dict[object, Any] = field(factory=dict)

    def linear(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """x_i W_iᵀ + bias for x (b, ..., c)."""
        result = functional.linear(x, self.base, bias)
        hidden = functional.linear(x, self.a)
        in_place = _in_place() and result.dtype == self.b.dtype
        factors = self.own.repeated(self.adapter.inner, x.dim())
        hidden = hidden.mul_(factors) if in_place else hidden * factors
        if x.dim() > 2:
            hidden = hidden.flatten(0, -2)
            if not (in_place and result.is_contiguous()):
                return torch.addmm(result.flatten(0, -2), hidden, self.b.t()).view(result.shape)
            result.view(-1, result.shape[-1]).addmm_(hidden, self.b.t())
            return result
        return result.addmm_(hidden, self.b.t()) if in_place else torch.addmm(result, hidden, self.b.t())

    def layer(self, layer: nn.Module, x: Tensor) -> Tensor:
        """What an embedding or convolution layer makes of x (b, ...)."""
        if isinstance(layer, nn.Embedding):
            hidden = functional.embedding(x, self.b) * self.own.repeated(self.adapter.inner, x.dim() + 1)
            return _run(layer, {"weight": self.base}, x) + functional.linear(hidden, self.a.t())
        ordered = self.adapter.order is not None
        if type(layer) in _CONVOLVE and layer.groups == 1 and self._is_thin():
            if not ordered and self.adapter.rows == len(self.base):
                return self._one_by_one(layer, x)
            zeros = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
            if ordered and isinstance(layer, nn.Conv2d) and zeros:
                return self._row_and_column(layer, x)
        return self._affine(layer, x)

    def _is_thin(self) -> bool:
        """Whether convolutions with the factors cost less than those that `_affine` adds."""
        m = self.own.values.shape[1]
        narrow = self.base.shape[1] <= _NARROW
        return 2 * (self.a.numel() + self.b.numel()) < (m - 1 if narrow else m) * self.base.numel()

    def _one_by_one(self, layer: nn.Module, x: Tensor) -> Tensor:
        """The `peft` form: a convolution to m·q channels, then one of a single place."""
        base, thin = self.base, self.a.view(-1, *self.base.shape[1:])
        if _pays_together(len(base), len(thin)):
            values = _kept(self.made, "all", lambda: _together(base, [thin], cast("Tensor | None", layer.bias)))
            result, hidden = torch.split(_run(layer, values, x), [len(base), len(thin)], dim=1)
        else:
            result = _run(layer, {"weight": base}, x)
            hidden = _run(layer, {"weight": thin, "bias": None}, x)
        hidden = hidden * self.own.repeated(self.adapter.inner, x.dim(), channels=True)
        return result + _CONVOLVE[type(layer)](hidden, self.b.view(*self.b.shape, *(1 for _ in base.shape[2:])))

    def _row_and_column(self, layer: nn.Conv2d, x: Tensor) -> Tensor:
        """The `separable` form: filters of one row, then filters of one column."""
        out, channels, height, width = self.base.shape
        row = self.a.view(-1, width, channels).transpose(1, 2).unsqueeze(2)
        column = self.b.view(out, height, -1).transpose(1, 2).unsqueeze(3)
        (down, right), (top, left) = layer.stride, cast("tuple[int, int]", layer.padding)
        tall, wide = layer.dilation
        hidden = functional.conv2d(x, row, None, (1, right), (0, left), (1, wide))
        hidden = hidden * self.own.repeated(self.adapter.inner, x.dim(), channels=True)
        result = _run(layer, {"weight": self.base}, x)
        return result + functional.conv2d(hidden, column, None, (down, 1), (top, 0), (tall, 1))

    def _affine(self, layer: nn.Module, x: Tensor) -> Tensor:
        """Any convolution, with the products made."""
        exact = self.own.exact
        base, terms = _kept(self.made, exact, lambda: self._terms(exact))
        m = self.own.values.shape[1]
        columns = [self.own.column(t, x.dim()) for t in range(0 if exact else 1, m)]
        if _is_plain(layer) and base.shape[1] <= _NARROW:
            # A convolution is linear in what it reads, too, and with few channels that is less than what it returns.
            weight = _kept(self.made, "read", lambda: torch.cat([base, *terms], dim=1))
            return _run(layer, {"weight": weight}, torch.cat([x, *(x * each for each in columns)], dim=1))
        if _is_plain(layer) and _pays_together(len(base), *map(len, terms)):
            values = _kept(self.made, "all", lambda: _together(base, terms, layer.bias))
            result, *parts = torch.split(_run(layer, values, x), len(base), dim=1)
        else:
            result = _run(layer, {"weight": base}, x)
            parts = [_run(layer, {"weight": term, "bias": None}, x) for term in terms]
        for part, each in zip(parts, columns, strict=True):
            # A part of a tensor would stay one, which the next layer might copy.
            result = _added(result, part, each) if result._base is None else torch.addcmul(result, part, each)
        return result

    def _terms(self, exact: bool) -> Terms:
        """W_0, and what is added to it as often as the coefficients say: of all tasks, or of all but the first."""
        q = self.adapter.inner
        parts = zip(torch.split(self.b, q, dim=1), torch.split(self.a, q), strict=True)
        first, *others = (self._product(b, a) for b, a in parts)
        if exact:
            return self.base, [first, *others]
        # λ_1 is what the others leave of 1.
        return torch.add(self.base, first, alpha=self.scale), [other - first for other in others]

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
        own: coefficients c (b, n) for n members.
        made: the weights in one, where that is kept.
    """

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]
    own: Coefficients
    made: dict[object, Any] = field(factory=dict)

    def linear(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Σ_k c_ik (x_i W_kᵀ + bias_k) for x (b, ..., c)."""
        biases: Sequence[Tensor | None] = self.biases or [None] * len(self.weights)
        return self._combined([functional.linear(x, *each) for each in zip(self.weights, biases, strict=True)])

    def layer(self, layer: nn.Module, x: Tensor) -> Tensor:
        """What a layer that is linear in its weight and bias makes of x (b, ...)."""
        if isinstance(layer, NORMALIZATIONS):
            return self._normalized(layer, x)
        first = self.weights[0]
        if _is_plain(layer) and first.shape[1] <= _NARROW:
            weight = _kept(self.made, "read", lambda: torch.cat(list(self.weights), dim=1))
            # As `Factored` does in `_affine`.
            read = torch.cat([x * self.own.column(k, x.dim()) for k in range(len(self.weights))], dim=1)
            result = _run(layer, {"weight": weight, **({"bias": None} if self.biases else {})}, read)
            return _shifted(result, self._combination(self.biases)) if self.biases else result
        if _is_plain(layer) and _pays_together(*map(len, self.weights)):
            values = _kept(self.made, "all", self._together)
            return self._combined(torch.split(_run(layer, values, x), len(first), dim=1))
        own = [{"weight": weight} for weight in self.weights]
        for values, bias in zip(own, self.biases, strict=False):
            values["bias"] = bias
        return self._combined([_run(layer, values, x) for values in own])

    def value(self) -> Tensor:
        """The weights themselves, (1, ...) each, as (b, ...)."""
        return self._combination(self.weights).flatten(0, 1)

    def _together(self) -> dict[str, Tensor]:
        """The filters of all members, one after the other, and their biases."""
        biases = {"bias": torch.cat(list(self.biases))} if self.biases else {}
        return {"weight": torch.cat(list(self.weights)), **biases}

    def _combination(self, values: Sequence[Tensor]) -> Tensor:
        """Σ_k c_ik v_k for v (...): (b, ...)."""
        flat = self.own.values @ torch.stack([value.flatten() for value in values])
        return flat.view(-1, *values[0].shape)

    def _combined(self, results: Sequence[Tensor]) -> Tensor:
        """Σ_k c_ik y_k for y (b, ...)."""
        dims = results[0].dim()
        if len(results) == 2 and not self.own.exact:
            return torch.lerp(results[0], results[1], self.own.column(1, dims))
        total = results[0] * self.own.column(0, dims)
        for k, result in enumerate(results[1:], start=1):
            total = _added(total, result, self.own.column(k, dims))
        return total

    def _normalized(self, layer: nn.Module, x: Tensor) -> Tensor:
        weight = self._combination(self.weights)
        bias = self._combination(self.biases) if self.biases else torch.zeros_like(weight)
        if isinstance(layer, nn.LayerNorm):
            normal = _run(layer, {"weight": None, "bias": None}, x)
            inner = (
                x.shape[0],
                *(1 for _ in x.shape[1 : x.dim() - len(layer.normalized_shape)]),
                *layer.normalized_shape,
            )
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


def _shifted(result: Tensor, bias: Tensor) -> Tensor:
    """A result (b, q, ...) with a bias (b, q) added."""
    return result.add_(_channels(bias, result)) if _in_place() else result + _channels(bias, result)


def _in_place() -> bool:
    return not (torch.is_grad_enabled() or torch._C._are_functorch_transforms_active())


def _together(base: Tensor, terms: Sequence[Tensor], bias: Tensor | None) -> dict[str, Tensor | None]:
    """Filters of several weights one after the other; the first have the bias."""
    more = None if bias is None else functional.pad(bias, (0, sum(map(len, terms))))
    return {"weight": torch.cat([base, *terms]), "bias": more}


def _kept(made: dict[object, Any], key: object, make: Callable[[], Any]) -> Any:
    """What `make` returns, made now or before."""
    found = made.get(key)
    if found is None:
        found = made[key] = make()
    return found


def _is_plain(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a layer is a convolution whose filters read all channels."""
    return type(layer) in _CONVOLVE and cast("nn.Conv2d", layer).groups == 1


def _pays_together(*filters: int) -> bool:
    """Whether so many filters and so many more cost less in one convolution than in several."""
    return math.ceil(sum(filters) / _BLOCK) < sum(math.ceil(one / _BLOCK) for one in filters)


def _channels(factors: Tensor, like: Tensor) -> Tensor:
    """(b, q) for a tensor (b, q, ...)."""
    return factors.view(*factors.shape, *(1 for _ in like.shape[2:]))
