"""θ(λ) of the preference that was used last, and products of parameters that serve every λ, kept as long as what they
are made of stays what it is."""

from __future__ import annotations

from collections.abc import Hashable
from operator import is_
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from moframework.model.operating_point import numbers_of
from moframework.weights import WeightSpace

__all__ = ["KeptWeights"]


class KeptWeights:
    """Merged weights of one preference, so that whoever serves one λ pays for merging once; and the products of
    adapters that a batch with a preference for each sample needs, so that whoever serves many pays for those once.

    They are made again where anything of the weight space is another: a parameter, buffer, module or attribute that was
    replaced, a tensor that was changed in place (its version), or that got other memory (`.to()`, `.data = …`). Nothing
    is kept where gradients are enabled, under autocast, transforms of `torch.func`, dispatch modes and the capture of a
    CUDA graph, and where numbers of λ cannot be read. What torch has no record of cannot be seen: numbers that are
    written to `parameter.data` in place, or by way of numpy. `drop` forgets; `ParetoModel.train` and `eval` do so too.

    A copy, and a pickled one, is empty.
    """

    def __init__(self) -> None:
        self._last: _Kept | None = None
        self._products: _Kept | None = None

    def __reduce__(self) -> tuple[type[KeptWeights], tuple[()]]:
        return KeptWeights, ()

    def __deepcopy__(self, memo: dict[int, Any]) -> KeptWeights:
        return KeptWeights()

    def drop(self) -> None:
        """Forget what is kept."""
        self._last = self._products = None

    def weights(self, space: WeightSpace, preference: Tensor) -> dict[str, Tensor]:
        """θ(λ) of a space for a preference (m,), without a graph where it is kept."""
        numbers = None if torch.is_grad_enabled() or _observed() else numbers_of(preference)
        if numbers is None:
            self._last = None
            return space.weights(preference)
        key = (tuple(numbers), preference.dtype, torch.is_inference_mode_enabled())
        last = self._last
        if last is not None and last.key == key and last.holds(space):
            return last.found
        self._last = last = None  # the memory of one set at a time
        theta = space.weights(preference)
        self._last = _Kept.of(space, key, theta)
        return theta

    def products(self, space: WeightSpace) -> dict[Hashable, Any] | None:
        """Where to keep what is computed of the parameters of a space alone, with what was kept there since they last
        changed; None where nothing is kept."""
        if torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.jit.is_tracing() or _observed():  # type: ignore[attr-defined,no-untyped-call]
            self._products = None
            return None
        key = torch.is_inference_mode_enabled()
        last = self._products
        if last is None or last.key != key or not last.holds(space):
            self._products = None  # the memory of one set at a time
            self._products = last = _Kept.of(space, key, {})
        return None if last is None else last.found


def _observed() -> bool:
    """Whether something changes, or records, what operations do."""
    return (
        torch._C._is_any_autocast_enabled()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack() > 0
        or (torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing())  # type: ignore[no-untyped-call]
    )


@frozen(eq=False)
class _Kept:
    """What is kept, and the state of the space that they were made of."""

    key: Hashable
    found: dict[Any, Any]
    space: WeightSpace
    registries: list[dict[str, Any]]
    values: list[Any]
    tensors: list[Tensor]
    versions: list[int]
    addresses: list[int]
    memory: list[Any]
    """Held, so that an address means the same memory."""

    @classmethod
    def of(cls, space: WeightSpace, key: Hashable, found: dict[Any, Any]) -> _Kept | None:
        """None where changes of a tensor are not counted."""
        registries = [d for m in space.modules() for d in (m._parameters, m._buffers, m._modules)]
        # Lists and layers of torch have nothing else that weights could depend on.
        registries += [vars(m) for m in space.modules() if not type(m).__module__.startswith("torch.")]
        registries = [registry for registry in registries if registry]
        values = [value for registry in registries for value in registry.values()]
        tensors = [value for value in values if isinstance(value, Tensor)]
        if any(tensor.is_inference() for tensor in tensors):
            return None
        return cls(
            key=key, found=found, space=space, registries=registries, values=values, tensors=tensors,
            versions=[tensor._version for tensor in tensors], addresses=[tensor.data_ptr() for tensor in tensors],
            memory=[tensor.untyped_storage() for tensor in tensors],
        )  # fmt: skip

    def holds(self, space: WeightSpace) -> bool:
        """Whether the space is what it was."""
        if space is not self.space:
            return False
        values = [value for registry in self.registries for value in registry.values()]
        return (
            len(values) == len(self.values)
            and all(map(is_, values, self.values))
            and [tensor._version for tensor in self.tensors] == self.versions
            and [tensor.data_ptr() for tensor in self.tensors] == self.addresses
        )
