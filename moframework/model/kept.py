"""What was made of a weight space for the preference that was used last, kept as long as the space stays what it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from operator import attrgetter, is_
from typing import Any, Generic, TypeVar, cast

import torch
from attrs import frozen
from torch import Tensor

from moframework.model.operating_point import PreferenceLike, as_preference, numbers_of
from moframework.weights import WeightSpace

__all__ = ["Kept", "KeptWeights", "entries_of"]

Made = TypeVar("Made")
_versions = attrgetter("_version")


class Kept(Generic[Made]):
    """One thing that is made of the tensors of a weight space, such as θ(λ).

    It is made again where anything of the weight space is another: a parameter, buffer, module or attribute that was
    replaced, a tensor that was changed in place (its version), or that got other memory (`.to()`, `.data = …`). Nothing
    is kept where gradients are enabled, under autocast, transforms of `torch.func`, dispatch modes, compilation and the
    capture of a CUDA graph. What torch has no record of cannot be seen: numbers that are written to `parameter.data` in
    place, or by way of numpy. `drop` forgets; `ParetoModel.train` and `eval` do so too.

    A copy, and a pickled one, is empty.
    """

    def __init__(self) -> None:
        self._last: tuple[object, _State, Made] | None = None

    def __reduce__(self) -> tuple[type[Kept[Made]], tuple[()]]:
        return type(self), ()

    def __deepcopy__(self, memo: dict[int, Any]) -> Kept[Made]:
        return type(self)()

    def drop(self) -> None:
        """Forget what is kept."""
        self._last = None

    def made(self, space: WeightSpace, key: Any, make: Callable[[], Made]) -> Made:
        """What `make` returns, made now or before with an equal key.

        Args:
            space: what it is made of.
            key: what else it depends on; None: it is not kept.
            make: called under the same circumstances, as torch has them, as this is.
        """
        if key is None or _observed():
            self._last = None
            return make()
        key = key, torch.is_inference_mode_enabled()
        last = self._last
        if last is not None and last[0] == key and last[1].holds(space):
            return last[2]
        self._last = last = None  # the memory of one at a time
        made = make()
        state = _State.of(space)
        self._last = None if state is None else (key, state, made)
        return made


class KeptWeights(Kept[dict[str, Tensor]]):
    """Merged weights of one preference. Whoever serves one λ then pays for merging once; see `Kept`."""

    def weights(self, space: WeightSpace, preference: PreferenceLike, tasks: Sequence[str]) -> dict[str, Tensor]:
        """θ(λ) of a space, without a graph where it is kept.

        Args:
            preference: λ, as `as_preference` takes it. A tensor is not checked again whose numbers are those of the
                last one.
            tasks: names of the objectives.

        Raises:
            PreferenceError: as by `as_preference`.
        """
        if not isinstance(preference, Tensor):
            preference = as_preference(preference, tasks)
        numbers = numbers_of(preference)
        key = None if numbers is None else (numbers, preference.dtype)
        return self.made(space, key, lambda: space.weights(as_preference(preference, tasks)))


def _observed() -> bool:
    """Whether something records or changes what operations do."""
    return (
        torch.is_grad_enabled()
        or torch.compiler.is_compiling()
        or torch._C._is_any_autocast_enabled()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack() > 0
        or (torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing())  # type: ignore[no-untyped-call]
    )


def entries_of(registries: Sequence[dict[str, Any]]) -> list[Any]:
    """What some registries of modules hold, one after the other."""
    return list(chain.from_iterable(map(dict.values, cast("Sequence[dict[Any, Any]]", registries))))


@frozen(eq=False)
class _State:
    """What a space was. To look at this again takes some µs, which counts for networks that take a tenth of a ms."""

    space: WeightSpace
    registries: list[dict[str, Any]]
    values: list[Any]
    tensors: list[Tensor]
    versions: list[int]
    addresses: list[int]
    memory: list[Any]
    """Held, so that an address means the same memory."""

    @classmethod
    def of(cls, space: WeightSpace) -> _State | None:
        """None where changes of a tensor are not counted."""
        registries: list[dict[str, Any]] = [
            cast("dict[str, Any]", d) for m in space.modules() for d in (m._parameters, m._buffers, m._modules)
        ]
        # Lists and layers of torch have nothing else that weights could depend on.
        registries += [vars(m) for m in space.modules() if not type(m).__module__.startswith("torch.")]
        registries = [registry for registry in registries if registry]
        values = entries_of(registries)
        tensors = [value for value in values if isinstance(value, Tensor)]
        if any(tensor.is_inference() for tensor in tensors):
            return None
        return cls(
            space=space, registries=registries, values=values, tensors=tensors, versions=list(map(_versions, tensors)),
            addresses=[tensor.data_ptr() for tensor in tensors],
            memory=[tensor.untyped_storage() for tensor in tensors],
        )  # fmt: skip

    def holds(self, space: WeightSpace) -> bool:
        """Whether the space is what it was."""
        if space is not self.space:
            return False
        values = entries_of(self.registries)
        return (
            len(values) == len(self.values)
            and all(map(is_, values, self.values))
            and list(map(_versions, self.tensors)) == self.versions
            and list(map(Tensor.data_ptr, self.tensors)) == self.addresses
        )
