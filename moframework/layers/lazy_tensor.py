"""Tensors that are made only where something needs them, and are part of autograd's graph all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._pytree import tree_map

__all__ = ["LazyTensor", "in_graph", "lazy_tensors", "materialized"]

# What may be asked of a tensor that is not made without making it.
_FACTS: set[Any] = {
    *(vars(torch._C.TensorBase)[name].__get__ for name in ("shape", "dtype", "device", "ndim")),
    *(vars(torch._C.TensorBase)[name].__get__ for name in ("requires_grad", "grad_fn", "is_leaf")),
    *(Tensor.dim, Tensor.size, Tensor.numel, Tensor.__len__, Tensor.is_floating_point),
}
# What is about the gradient of the tensor itself.
_GRADIENTS: set[Any] = {Tensor.register_hook, Tensor.retain_grad, torch.autograd.grad}
# What may change a tensor, or what becomes of its gradient, without its version telling.
_OPENS: set[Any] = {
    vars(torch._C.TensorBase)["data"].__get__,
    *(vars(torch._C.TensorBase)[name].__set__ for name in ("data", "requires_grad")),
    *(getattr(Tensor, name) for name in ("data_ptr", "untyped_storage", "storage", "numpy", "__array__", "__dlpack__")),
    *(Tensor.requires_grad_, Tensor.register_hook, Tensor.retain_grad),
}


class LazyTensor(Tensor):
    """A tensor without memory that knows how to be made (`materialize`), and what some functions make of it otherwise
    (`through`). Every other function sees the tensor that is made; shape, dtype and device are known without.

    Some code never passes torch's Python functions: `torch.autograd.Function.apply`, a kernel that reads an address, an
    extension in C++. There a lazy tensor that `in_graph` has put into autograd's graph is an input like any other: it
    is read as the tensor that is made, and its gradient flows on to what it is made of. Only C++ that asks for its
    address itself is told by torch that there is none.

    What is changed in place, by way of `.data` or a hook too, is changed for whatever reads the tensor later: `through`
    is not asked any more. For that a class must keep what it makes (`once`). The gradient of the tensor itself can be
    asked for, by a hook or `torch.autograd.grad`, where that is said before it is used (a hook, `requires_grad_`):
    what `through` has answered knows nothing of it. Else it is refused.

    Derived classes construct themselves with `standing_for`, and override `materialize` and `through`.
    """

    _made: Tensor | None = None
    _read: Tensor | None = None
    _changed = _answered = False
    _made_version = _own_version = 0  # as far as they are known

    @classmethod
    def standing_for(cls, size: Sequence[int], like: Tensor, strides: Sequence[int] | None = None) -> Self:
        """A new one of that size, of the dtype and on the device of `like`.

        Args:
            strides: of what is made, where code below torch's Python functions may read it; None: contiguous.
        """
        return Tensor._make_wrapper_subclass(
            cls, size, strides=strides, dtype=like.dtype, device=like.device, requires_grad=False
        )

    def materialize(self) -> Tensor:
        """The tensor this one stands for, differentiable in what it is made of."""
        raise NotImplementedError

    def through(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What `func` returns for arguments of which this is one; None: what it returns for the materialized."""
        return None

    def once(self, make: Callable[[], Tensor]) -> Tensor:
        """What `make` gives, the first time, and the same tensor from then on: for `materialize`.

        What is made below autograd has no graph, and is kept for there alone. What is made in inference mode or under a
        transform of `torch.func` is good for nothing else, and not kept.
        """
        if self._made is not None:
            return self._made
        if torch.is_inference_mode_enabled() or torch._C._are_functorch_transforms_active():
            return make()
        if not torch.is_grad_enabled():
            if self._read is None:
                self._read = make()
            return self._read
        # The hooks in force may be those of a checkpoint, which expects the same of every call; this happens at one.
        with saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor):
            self._made, self._read = make(), None
        self._made_version = self._made._version
        return self._made

    def _notice(self, func: Callable[..., Any] | None = None) -> None:
        """See whether what was made has been changed (by `func`, in ways that its version does not tell). Then the
        gradient of this tensor becomes one of what was made, whose graph knows the change."""
        made = self._made
        if made is None or (made._version == self._made_version and func not in _OPENS):
            return
        self._changed, self._made_version = True, made._version
        if made.requires_grad:
            with torch.enable_grad(), torch._C.DisableTorchFunctionSubclass():
                _Follow.apply(self, made)
                self._own_version = self._version

    def _check_gradient(self, func: Callable[..., Any]) -> None:
        """Raise NotImplementedError where a function is about a gradient that is not complete."""
        if self._changed or not (self._answered or func is torch.autograd.grad):
            return
        raise NotImplementedError(
            f"{func.__name__}: the gradient of a weight or an input is not known that layers have used without making "
            "it; call requires_grad_() on it before they do, or set training.acceleration to none"
        )

    def _changed_below(self) -> bool:
        """Whether this tensor itself was changed in place, below torch's Python functions. It then is what autograd
        knows, and what was made its memory."""
        with torch._C.DisableTorchFunctionSubclass():
            return self._version != self._own_version

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func in _FACTS:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **given)
        lazy = list(lazy_tensors([*args, *given.values()]))
        if any(each._changed_below() for each in lazy):
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **given)
        for each in lazy:
            each._notice()
            if func in _GRADIENTS:
                each._check_gradient(func)
            found = None if each._changed else each.through(func, args, given)
            if found is not None:
                each._answered = found is not each
                return found
        with torch.enable_grad():  # others may use it where gradients are on
            made = materialized((tuple(args), given))
        result = func(*made[0], **made[1])
        for each in lazy:
            each._notice(func)
        # What gives back its argument does so here.
        return next((each for each in lazy if each._made is result), result)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        # What comes here has passed autograd, which sends the gradient to the lazy tensor itself.
        with torch.no_grad():
            made = tree_map(materialized, (args, dict(kwargs or {})))
        return func(*made[0], **made[1])


def in_graph(
    make: Callable[[], LazyTensor], send: Callable[[Tensor], Sequence[Tensor | None]], sources: Sequence[Tensor]
) -> Tensor:
    """A lazy tensor whose gradient, where something below torch's Python functions computes one, reaches what it is
    made of. Under a transform of `torch.func`, which knows no such nodes of the graph, it is made at once.

    Args:
        make: the lazy tensor; called once.
        send: its gradient → those of the sources, differentiable where gradients are enabled.
        sources: the tensors it is made of.
    """
    if torch._C._are_functorch_transforms_active():
        return make().materialize()
    result: Tensor = _InGraph.apply(make, send, *sources)
    return result


class _InGraph(torch.autograd.Function):
    """The node of a lazy tensor. Functions that know lazy tensors go around it."""

    @staticmethod
    def forward(
        ctx: Any, make: Callable[[], LazyTensor], send: Callable[[Tensor], Any], *sources: Tensor
    ) -> LazyTensor:
        ctx.send = send
        return make()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *ctx.send(gradient)


class _Follow(torch.autograd.Function):
    """Puts a lazy tensor behind what was made of it in autograd's graph: its gradient goes there."""

    @staticmethod
    def forward(ctx: Any, lazy: LazyTensor, made: Tensor) -> LazyTensor:
        ctx.mark_dirty(lazy)
        return lazy

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, gradient


def materialized(value: Any) -> Any:
    """`value`, an argument of a function or several, with what is made in the place of each lazy tensor."""
    if isinstance(value, LazyTensor):
        return value.materialize()
    if isinstance(value, list | tuple):
        return type(value)(materialized(part) for part in value)
    if isinstance(value, dict):
        return {key: materialized(part) for key, part in value.items()}
    return value


def lazy_tensors(values: Iterable[Any]) -> Iterator[LazyTensor]:
    """Those among some arguments, in lists and tuples too."""
    for value in values:
        if isinstance(value, LazyTensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from lazy_tensors(value)
