"""Lazy tensors: whatever reads one, value and gradients are those of the tensor that it stands for."""

from __future__ import annotations

import copy
import ctypes
import gc
import warnings
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import pytest
import torch
from attrs import frozen
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from moframework.layers import lazy_weight, merge
from moframework.layers.lazy_tensor import LazyTensor, in_graph, lazy_tensors, materialized
from moframework.layers.lazy_weight import adapted_weight
from moframework.layers.low_rank import Adapted
from moframework.layers.merge import merged
from moframework.layers.shared_concat import concatenated, shared_concat

ROWS, OUT, IN = 6, 4, 5


@frozen
class Kind:
    """A lazy matrix (o, c), what it stands for, and the leaves that both are made of."""

    sources: list[Tensor]
    lazy: Callable[[], Tensor]
    plain: Callable[[], Tensor]


def double(*size: int) -> Tensor:
    return torch.randn(*size, dtype=torch.float64, requires_grad=True)


def adapter() -> Kind:
    sources, factors = [double(OUT, IN), double(OUT, 3), double(3, IN)], torch.rand(3, 1, dtype=torch.float64)
    return Kind(
        sources,
        lambda: adapted_weight(Adapted(*sources, factors)),
        lambda: merged(*sources, factors.t())[0],
    )


def concatenation() -> Kind:
    own, shared = double(OUT, 3), double(1, 2)
    return Kind([own, shared], lambda: shared_concat(own, shared), lambda: concatenated(own, shared))


@pytest.fixture(params=["applied", "merged", "merged by a node", "concatenated"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kind:
    """A layer applies the adapter, or it is merged in one way or the other."""
    if request.param == "concatenated":
        return concatenation()
    monkeypatch.setattr(lazy_weight, "linear_pays", lambda *arguments: request.param == "applied")
    if request.param == "merged by a node":
        monkeypatch.setattr(merge, "LARGE", 0)
    return adapter()


@pytest.fixture
def x() -> Tensor:
    return double(ROWS, IN)


class Rounded(torch.autograd.Function):
    """Quantized forward, straight through backward."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        return weight.round()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class Layer(torch.autograd.Function):
    """A linear layer that keeps its weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x.mm(weight.t())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return gradient.mm(weight), gradient.t().mm(x)


class Reversed(torch.autograd.Function):
    """Gives back what it gets, and the opposite gradient."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        return weight

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return -gradient


class Doubled(torch.autograd.Function):
    """In place, with a backward that is not its derivative."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        ctx.mark_dirty(weight)
        return weight.mul_(2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 3 * gradient


def scripted(function: Callable[..., Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # newer releases of torch do not recommend it
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(function)


def _layer(x: Tensor, weight: Tensor) -> Tensor:
    return torch.nn.functional.linear(x, weight) + weight.flatten()[1]


def _changed(x: Tensor, weight: Tensor) -> Tensor:
    weight.mul_(2)
    return torch.nn.functional.linear(x, weight)


SCRIPTED_LAYER, SCRIPTED_CHANGE = scripted(_layer), scripted(_changed)


@torch.library.custom_op("moframework_tests::layer", mutates_args=())
def numpy_layer(x: Tensor, weight: Tensor) -> Tensor:
    """A kernel that reads memory."""
    return torch.from_numpy(x.detach().numpy() @ weight.detach().numpy().T)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


numpy_layer.register_autograd(Layer.backward, setup_context=_keep)


def at_address(weight: Tensor) -> Tensor:
    """What lies where a tensor says that it lies, after others have been made and forgotten."""
    place = weight.data_ptr()
    others = [torch.full((OUT, IN), float(i), dtype=torch.float64) for i in range(8)]
    del others
    return torch.tensor(list((ctypes.c_double * (OUT * IN)).from_address(place)), dtype=torch.float64)


Use = Callable[[Tensor, Tensor], Tensor]

USES: dict[str, Use] = {
    "a layer": lambda x, w: F.linear(x, w),
    "a layer of C": lambda x, w: torch._C._nn.linear(x, w),
    "a layer and more": lambda x, w: F.linear(x, w) + (w * w).sum(),
    "a product": lambda x, w: x @ w.t(),
    "a Function": lambda x, w: F.linear(x, Rounded.apply(w)),
    "a Function that keeps it": lambda x, w: Layer.apply(x, w),
    "a Function and a layer": lambda x, w: Layer.apply(x, w) + F.linear(x, w).sin(),
    "a layer and a Function": lambda x, w: F.linear(x, w).sin() + Layer.apply(x, w),
    "a Function that returns it": lambda x, w: F.linear(x, Reversed.apply(w)),
    "scripted": lambda x, w: SCRIPTED_LAYER(x, w),
    "scripted, then a product": lambda x, w: SCRIPTED_LAYER(x, w) + x @ w.t(),
    "a custom operator": lambda x, w: numpy_layer(x, w),
    "a custom operator and a layer": lambda x, w: numpy_layer(x, w) * F.linear(x, w),
    "its address": lambda x, w: F.linear(x, w) + at_address(w)[3],
    "a checkpoint": lambda x, w: checkpoint(F.linear, x, w, use_reentrant=False),
    "a checkpoint that needs it made": lambda x, w: checkpoint(lambda x: x @ w.t(), x, use_reentrant=False),
    "a checkpoint in which it is an argument": lambda x, w: checkpoint(
        lambda x, w: (x @ w.t()).sin(), x, w, use_reentrant=False
    ),
    "a checkpoint of a Function": lambda x, w: checkpoint(
        lambda x, w: Layer.apply(x, w).sin(), x, w, use_reentrant=False
    ),
    "a checkpoint, then more": lambda x, w: checkpoint(F.linear, x, w, use_reentrant=False) + (x @ w.t()).exp(),
    "vectorized": lambda x, w: torch.func.vmap(lambda row: F.linear(row, w))(x),
    "vectorized over it": lambda x, w: torch.func.vmap(lambda row: x @ row, out_dims=1)(w),
    "a transform first": lambda x, w: (
        torch.func.grad(lambda y: F.linear(y, w).square().sum())(x.detach()) + F.linear(x, w).sum() + (x @ w.t()).sum()
    ),
    "differentiated for each row": lambda x, w: torch.func.jacrev(lambda y: F.linear(y, w).sin())(x[0]),
    "itself": lambda x, w: F.linear(x, w.contiguous()) + Layer.apply(x, w.to(torch.float64)),
    "without gradients first": lambda x, w: without(torch.no_grad, w) + F.linear(x, w) + x @ w.t(),
    "in inference first": lambda x, w: without(torch.inference_mode, w) + F.linear(x, w) + x @ w.t(),
    "a detached one": lambda x, w: F.linear(x, w) * F.linear(x, w.detach()),
    "its data": lambda x, w: F.linear(x, w) * w.data.norm(),
    "a list": lambda x, w: torch.cat([w, 2 * w]).sum() + torch.einsum("bi,oi->bo", x, w),
    "the input of a layer": lambda x, w: F.linear(w, x) + Layer.apply(w, x).sin(),
    "an argument by name": lambda x, w: F.linear(input=x, weight=w),
    "views": lambda x, w: w[1] * x + w.reshape(IN, OUT).sum() + w.unbind()[0],
}
# Those with a second derivative in torch, and in themselves.
TWICE = [name for name in USES if name != "a transform first"]


def without(mode: Callable[[], Any], weight: Tensor) -> float:
    with mode():
        return float((weight.norm() + F.linear(torch.ones(2, IN, dtype=torch.float64), weight).sum()).item())


def found(use: Use, x: Tensor, weight: Tensor, sources: Sequence[Tensor]) -> tuple[Tensor, list[Tensor | None]]:
    """What a use returns, and the gradients of a function of it."""
    for leaf in (x, *sources):
        leaf.grad = None
    result = use(x, weight)
    result.sin().sum().backward()  # type: ignore[no-untyped-call]
    return result.detach(), [None if leaf.grad is None else leaf.grad.clone() for leaf in (x, *sources)]


def assert_as_plain(use: Use, x: Tensor, kind: Kind) -> None:
    value, gradients = found(use, x, kind.lazy(), kind.sources)
    expected, wanted = found(use, x, kind.plain(), kind.sources)
    assert type(value) is Tensor
    torch.testing.assert_close(value, expected)
    assert any(gradient is not None and bool(gradient.any()) for gradient in wanted[1:])
    torch.testing.assert_close(gradients, wanted)


@pytest.mark.parametrize("name", USES)
def test_value_and_gradients_are_those_of_what_it_stands_for(name: str, kind: Kind, x: Tensor) -> None:
    assert_as_plain(USES[name], x, kind)


def test_a_reentrant_checkpoint(kind: Kind, x: Tensor) -> None:
    for function in (F.linear, lambda x, w: x @ w.t(), Layer.apply):
        assert_as_plain(lambda x, w, f=function: checkpoint(f, x, w, use_reentrant=True), x, kind)  # type: ignore[misc]


@pytest.mark.parametrize("name", TWICE)
def test_gradients_of_gradients(name: str, kind: Kind, x: Tensor) -> None:
    leaves = [x, *kind.sources]
    found = []
    for weight in (kind.lazy(), kind.plain()):
        value = USES[name](x, weight)
        first = torch.autograd.grad(value.sin().sum(), leaves, create_graph=True, allow_unused=True)
        penalty = torch.stack([each.square().sum() for each in first if each is not None]).sum()
        found.append([first, torch.autograd.grad(penalty, leaves, allow_unused=True)])
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # the compiler looks at all of it
def test_a_function_that_is_compiled(x: Tensor) -> None:
    torch.compiler.reset()

    @torch.compile(backend="aot_eager")
    def layer(x: Tensor, weight: Tensor) -> Tensor:
        return (x @ weight.t()).sin()

    assert_as_plain(layer, x, adapter())


def limited(x: Tensor, weight: Tensor) -> Tensor:
    """A layer that limits its weight before it uses it, as EEGNet's do."""
    weight.data = torch.renorm(weight.data, p=2, dim=0, maxnorm=0.5)
    return F.linear(x, weight)


def clipped(x: Tensor, weight: Tensor) -> Tensor:
    with torch.no_grad():
        weight.clamp_(-0.2, 0.2)
    return F.linear(x, weight)


def scaled_by_row(x: Tensor, weight: Tensor) -> Tensor:
    row = weight[1]
    row.mul_(3)
    return F.linear(x, weight)


def overwritten(x: Tensor, weight: Tensor) -> Tensor:
    (ctypes.c_double * 1).from_address(weight.data_ptr())[0] = 7.0
    return F.linear(x, weight)


def watched(x: Tensor, weight: Tensor) -> Tensor:
    weight.register_hook(lambda gradient: 2 * gradient)
    return F.linear(x, weight) + Layer.apply(x, weight)


CHANGES: dict[str, Use] = {
    "in place": lambda x, w: F.linear(x, w.mul_(2)) + F.linear(x, w),
    "in place, then a layer": lambda x, w: (w.mul_(2), F.linear(x, w))[1],
    "in place, then a Function": lambda x, w: (w.mul_(2), Layer.apply(x, w))[1],
    "twice": lambda x, w: (w.mul_(2), w.exp_(), Layer.apply(x, w) + F.linear(x, w))[2],
    "after it was read": lambda x, w: w.sum() + (w.add_(1), F.linear(x, w) + Layer.apply(x, w))[1],
    "its data": lambda x, w: (w.data.clamp_(-0.2, 0.2), F.linear(x, w))[1],
    "its data, then a Function": lambda x, w: (w.data.clamp_(-0.2, 0.2), Layer.apply(x, w))[1],
    "detached": lambda x, w: (w.detach().clamp_(-0.2, 0.2), F.linear(x, w))[1],
    "at its address": overwritten,
    "limited": limited,
    "without gradients": clipped,
    "a row": scaled_by_row,
    "a Function in place": lambda x, w: F.linear(x, Doubled.apply(w)),
    "a Function in place, then more": lambda x, w: (Doubled.apply(w), F.linear(x, w) + (x @ w.t()).sin())[1],
    "scripted": lambda x, w: SCRIPTED_CHANGE(x, w),
    "scripted, then a layer": lambda x, w: SCRIPTED_CHANGE(x, w) + F.linear(x, w),
    "its gradient, by a hook": watched,
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_changed_is_changed_for_all_that_read_it_later(name: str, kind: Kind, x: Tensor) -> None:
    assert_as_plain(CHANGES[name], x, kind)


def test_its_gradient_may_be_kept(kind: Kind, x: Tensor) -> None:
    gradients = []
    for weight in (kind.lazy(), kind.plain()):
        weight.retain_grad()
        (F.linear(x, weight) + Layer.apply(x, weight)).sin().sum().backward()
        gradients.append(weight.grad)
    torch.testing.assert_close(*gradients)


def sensitive(x: Tensor, weight: Tensor) -> Tensor:
    """Uses how its result depends on a weight or an input, as a network for a differential equation does."""
    weight.requires_grad_()
    result = F.linear(x, weight).sin() + F.linear(weight, x).t() + Layer.apply(x, weight)
    (slope,) = torch.autograd.grad(result.sum(), weight, create_graph=True)
    return result + slope.square().sum()


def test_its_gradient_may_be_used_where_that_is_said_before(kind: Kind, x: Tensor) -> None:
    assert_as_plain(sensitive, x, kind)


def test_an_input_may_be_made_one_that_needs_a_gradient(x: Tensor) -> None:
    own, shared = torch.randn(OUT, 3, dtype=torch.float64), torch.randn(1, 2, dtype=torch.float64)
    found = []
    for read in (shared_concat(own, shared), concatenated(own, shared)):
        assert not read.requires_grad
        read.requires_grad = True
        assert read.requires_grad
        found += torch.autograd.grad((F.linear(read, x) + Layer.apply(read, x)).exp().sum(), read)
    torch.testing.assert_close(*found)


ASKED: dict[str, Callable[[Tensor, Tensor], object]] = {
    "register_hook": lambda value, weight: weight.register_hook(lambda gradient: 2 * gradient),
    "retain_grad": lambda value, weight: weight.retain_grad(),
    "grad": lambda value, weight: torch.autograd.grad(value.sum(), weight, allow_unused=True),
}


@pytest.mark.parametrize("name", ASKED)
def test_its_gradient_is_refused_where_it_would_not_be_complete(
    name: str, x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lazy_weight, "linear_pays", lambda *arguments: True)
    own, shared = double(OUT, 3), double(1, 2)
    for use, weight in (
        (lambda w: F.linear(x, w), adapter().lazy()),
        (lambda w: F.linear(w, x), shared_concat(own, shared)),
    ):
        value = use(weight)
        with pytest.raises(
            NotImplementedError, match=f"{name}: .* call requires_grad_\\(\\) on it before they do, or set"
        ):
            ASKED[name](value, weight)
    # One that no layer has used without making it:
    weight = adapter().lazy()
    if name != "grad":
        ASKED[name](weight + 1, weight)


def test_a_copy_is_refused_as_of_any_result(kind: Kind) -> None:
    for weight in (kind.plain(), kind.lazy()):
        with pytest.raises(RuntimeError, match="deepcopy"):
            copy.deepcopy(weight)
    detached = copy.deepcopy(kind.lazy().detach())
    assert (type(detached), detached.requires_grad) == (Tensor, False)
    torch.testing.assert_close(detached, kind.plain().detach())


def test_what_needs_no_gradient_has_none(kind: Kind, x: Tensor) -> None:
    for source in kind.sources:
        source.requires_grad_(False)
    weight = kind.lazy()
    assert not weight.requires_grad
    value = Layer.apply(x, weight) + F.linear(x, weight)
    (gradient,) = torch.autograd.grad(value.sin().sum(), x)
    expected = 2 * F.linear(x, kind.plain())
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sin().sum(), x)[0])


def test_it_is_in_the_graph_without_being_made(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LazyTensor, "once", lambda *_: pytest.fail("it was made"))
    weight = kind.lazy()
    assert (weight.requires_grad, weight.is_leaf, weight.grad_fn is None) == (True, False, False)
    assert (weight.shape, weight.dim(), weight.size(1), len(weight), weight.numel()) == ((OUT, IN), 2, IN, OUT, 20)
    assert (weight.dtype, weight.device.type, weight.is_floating_point()) == (torch.float64, "cpu", True)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels last"])
def test_code_below_torchs_functions_knows_the_order_of_its_memory(order: torch.memory_format) -> None:
    base, b, a = double(4, 5, 3, 3), double(12, 3), double(3, 15)
    own, shared = double(4, 2, 3, 3), double(1, 3, 3, 3)
    pairs = [
        (
            adapted_weight(Adapted(base.contiguous(memory_format=order), b, a, torch.rand(3, 1, dtype=torch.float64))),
            4,
        ),
        (shared_concat(own.contiguous(memory_format=order), shared), 4),
    ]
    for weight, out in pairs:
        with torch._C.DisableTorchFunctionSubclass():
            strides = weight.stride()
        assert strides == materialized(weight).stride()
        x = double(2, 45)
        torch.testing.assert_close(SCRIPTED_FLAT(x, weight), F.linear(x, materialized(weight).flatten(1)))
        assert SCRIPTED_FLAT(x, weight).shape == (2, out)


def _flat(x: Tensor, weight: Tensor) -> Tensor:
    return torch.nn.functional.linear(x, weight.flatten(1))


SCRIPTED_FLAT = scripted(_flat)


def test_it_is_made_once_and_let_go(kind: Kind, x: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[Tensor]] = []
    original = LazyTensor.once

    def once(self: LazyTensor, make: Callable[[], Tensor]) -> Tensor:
        def noted() -> Tensor:
            value = make()
            made.append(weakref.ref(value))
            return value

        return original(self, noted)

    monkeypatch.setattr(LazyTensor, "once", once)
    weight = kind.lazy()
    value = Rounded.apply(weight).sum() + weight.sum() + weight.add_(1).data_ptr()
    assert len(made) == 1
    value.sum().backward()
    kept = weakref.ref(weight)
    del value, weight
    gc.collect()
    assert (kept(), made[0]()) == (None, None)


def test_autocast_is_for_layers_and_not_for_what_is_made() -> None:
    torch.manual_seed(0)
    sources = [torch.randn(OUT, IN), torch.randn(OUT, 3), torch.randn(3, IN)]
    factors = torch.rand(3, 1)
    with torch.autocast("cpu", torch.bfloat16):
        weight = materialized(adapted_weight(Adapted(*sources, factors)))
    assert weight.dtype == torch.float32
    assert torch.equal(weight, merged(*sources, factors.t())[0])


class Named(LazyTensor):
    """Answers a layer with a word, and all else with a tensor of ones, made anew each time."""

    count: ClassVar[int] = 0

    def materialize(self) -> Tensor:
        Named.count += 1
        return torch.ones(self.shape)

    def through(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Any) -> Any:
        return "known" if func is F.linear else None


@pytest.fixture
def named() -> LazyTensor:
    Named.count = 0
    return Named.standing_for((2, 3), torch.empty(0))


def test_a_class_may_answer_functions_itself(named: LazyTensor) -> None:
    assert F.linear(torch.ones(1, 3), named) == "known"  # type: ignore[comparison-overlap]
    assert Named.count == 0
    assert torch.equal(named + 1, torch.full((2, 3), 2.0))
    assert torch.equal(torch.stack([named, named], dim=0), torch.ones(2, 2, 3))
    assert Named.count == 3


def test_arguments_and_what_is_made_of_them(named: LazyTensor) -> None:
    other = torch.zeros(1)
    given = [1, (named, [other, named]), "word"]
    assert [each is named for each in lazy_tensors(given)] == [True, True]
    known = materialized(given)
    assert torch.equal(known[1][0], torch.ones(2, 3))
    assert known[1][1][0] is other
    made = materialized({"a": named, "b": other})
    assert torch.equal(made["a"], torch.ones(2, 3))
    assert made["b"] is other


def test_the_gradient_goes_where_it_is_sent() -> None:
    source = torch.ones(2, 3, requires_grad=True)
    lazy = in_graph(partial(Named.standing_for, (2, 3), source), lambda gradient: (5 * gradient,), (source,))
    Reversed.apply(lazy).sum().backward()
    assert source.grad is not None
    assert torch.equal(source.grad, torch.full((2, 3), -5.0))
