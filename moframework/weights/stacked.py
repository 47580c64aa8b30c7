"""n parameter sets of one network, stored for fast linear combinations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from moframework.weights.starting import listed

__all__ = ["Stacked"]


class Stacked(nn.Module):
    """Computes `Σ_k c_k θ_k` over n complete parameter sets θ_k in a few large products instead of n small ones a
    tensor.

    Storage: all tensors of one dtype lie in a matrix (n, p), except those with four dimensions. Each of these is one
    parameter (n·out, …), the sets one after another along the first axis: so it is still a tensor of four dimensions,
    `module.to(memory_format=torch.channels_last)` reorders it as it does a kernel, and what `combine` returns is a view
    with the same memory order, which convolutions take as it is. Parameters that do not require a gradient, and those
    that all sets share, are kept once, from the first set.

    Args:
        sets: n mappings with the same names and shapes, n at least 1.
        shared: names of what is the same in all sets.
    """

    def __init__(self, sets: Sequence[Mapping[str, nn.Parameter]], shared: Collection[str] = ()) -> None:
        super().__init__()
        first = sets[0]
        self.count, self.shared = len(sets), frozenset(shared)
        trained = [name for name, value in first.items() if value.requires_grad and name not in shared]
        self._shapes = {name: first[name].shape for name in trained}
        self._kernels = [name for name in trained if first[name].dim() == 4]
        self._fixed = [name for name in first if name not in self._shapes]
        flat: dict[torch.dtype, list[str]] = {}
        # Tensors of whole 16-byte blocks come first: a product with a view that starts off such a block is slower.
        for name in sorted(set(trained) - set(self._kernels), key=lambda name: (_unaligned(first[name]), name)):
            flat.setdefault(first[name].dtype, []).append(name)
        self._whole = list(flat.values())
        with torch.no_grad():
            self.kernels = nn.ParameterList(
                nn.Parameter(torch.cat([one[name] for one in sets])) for name in self._kernels
            )
        self._lay(self._whole, sets)
        self.fixed = nn.ParameterList(first[name] for name in self._fixed)

    @torch.no_grad()
    def _lay(self, flat: list[list[str]], sets: Sequence[Mapping[str, Tensor]]) -> None:
        """Let the tensors of these names lie in a matrix each."""
        self._flat = flat
        self._sizes = [[self._shapes[name].numel() for name in names] for names in flat]
        self.flat = nn.ParameterList(
            nn.Parameter(torch.stack([torch.cat([one[name].flatten() for name in names]) for one in sets]))
            for names in flat
        )

    def separate(self, key: Callable[[str], Hashable]) -> None:
        """See `WeightSpace.separate`. State dicts stay as they are without."""
        parts = [[n for n in names if key(n) == own] for names in self._whole for own in dict.fromkeys(map(key, names))]
        if parts != self._flat:
            if self._flat == self._whole:
                self.register_state_dict_post_hook(_give_whole)  # type: ignore[no-untyped-call]
                self.register_load_state_dict_pre_hook(_take_whole)  # type: ignore[no-untyped-call]
            self._lay(parts, self.members())

    @property
    def names(self) -> list[str]:
        """All names, those of fixed parameters too."""
        return [*self._fixed, *self._shapes]

    @property
    def combined(self) -> list[str]:
        """The names of what differs between the sets."""
        return list(self._shapes)

    def shared_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """What is trained and the same in all sets."""
        return [(n, p) for n, p in zip(self._fixed, self.fixed, strict=True) if p.requires_grad]

    def named_storage(self) -> list[tuple[tuple[str, ...], Tensor]]:
        """See `WeightSpace.named_storage`: what lies in each kernel and each matrix, and what is shared."""
        names = [*((name,) for name in self._kernels), *map(tuple, self._flat)]
        shared: list[tuple[tuple[str, ...], Tensor]] = [((name,), p) for name, p in self.shared_parameters()]
        return [*zip(names, [*self.kernels, *self.flat], strict=True), *shared]

    def sets(self, names: Collection[str]) -> list[dict[str, nn.Parameter]]:
        """The n parameter sets, of some names only; copies."""
        result: list[dict[str, nn.Parameter]] = [{} for _ in range(self.count)]
        train = {*self._shapes, *(name for name, _ in self.shared_parameters())}
        with torch.no_grad():
            for k, theta in enumerate(self.members()):
                for name, value in theta.items():
                    if name in names:
                        kept = value.clone(memory_format=torch.preserve_format)
                        result[k][name] = nn.Parameter(kept, requires_grad=name in train)
        return result

    def load(self, sets: Sequence[Mapping[str, Tensor]]) -> None:
        """Take over the values of parameter sets, of some names or all, in place."""
        with torch.no_grad():
            for theta, given in zip(self.members(), sets, strict=True):
                for name, value in given.items():
                    theta[name].copy_(value)

    def combine(self, coefficients: Tensor) -> list[dict[str, Tensor]]:
        """The complete parameter dicts Σ_k c_jk θ_k for coefficients c (r, n), on any device; differentiable in both.

        As many operations as for one of them, but for views.
        """
        at: dict[torch.dtype, Tensor] = {}
        for tensor in (*listed(self.kernels), *listed(self.flat)):
            if tensor.dtype not in at:
                at[tensor.dtype] = coefficients.to(tensor.device, tensor.dtype, non_blocking=True)
        kernels = [
            _combined_kernels(at[kernel.dtype], kernel, self._shapes[name])
            for name, kernel in zip(self._kernels, listed(self.kernels), strict=True)
        ]
        return self._sets(len(coefficients), kernels, [_product(at[m.dtype], m) for m in listed(self.flat)])

    def members(self) -> list[dict[str, Tensor]]:
        """Each set as views of what is stored."""
        return self._sets(self.count, [kernel.chunk(self.count) for kernel in self.kernels], list(self.flat))

    def _sets(
        self, count: int, kernels: Sequence[Iterable[Tensor]], rows: Sequence[Iterable[Tensor]]
    ) -> list[dict[str, Tensor]]:
        """So many parameter sets: of each kernel and each matrix a part, or a row, for each of them."""
        fixed: dict[str, Tensor] = dict(zip(self._fixed, listed(self.fixed), strict=True))
        sets = [dict(fixed) for _ in range(count)]
        for name, parts in zip(self._kernels, kernels, strict=True):
            for one, part in zip(sets, parts, strict=True):
                one[name] = part
        for names, sizes, matrix in zip(self._flat, self._sizes, rows, strict=True):
            for one, row in zip(sets, matrix, strict=True):
                parts = torch.split(row, sizes)
                one.update({name: part.view(self._shapes[name]) for name, part in zip(names, parts, strict=True)})
        return sets


def _give_whole(stacked: Stacked, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Put what was separated together again, in a state dict."""
    parts = [state.pop(f"{prefix}flat.{i}") for i in range(len(stacked._flat))]
    by_name: dict[str, Tensor] = {}
    for names, sizes, part in zip(stacked._flat, stacked._sizes, parts, strict=True):
        by_name.update(zip(names, part.split(sizes, dim=1), strict=True))
    for i, names in enumerate(stacked._whole):
        state[f"{prefix}flat.{i}"] = torch.cat([by_name[name] for name in names], dim=1)


def _take_whole(stacked: Stacked, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """The other way round."""
    by_name: dict[str, Tensor] = {}
    for i, names in enumerate(stacked._whole):
        sizes = [stacked._shapes[name].numel() for name in names]
        by_name.update(zip(names, state.pop(f"{prefix}flat.{i}").split(sizes, dim=1), strict=True))
    for i, names in enumerate(stacked._flat):
        state[f"{prefix}flat.{i}"] = torch.cat([by_name[name] for name in names], dim=1)


def _combined_kernels(coefficients: Tensor, kernel: Tensor, shape: torch.Size) -> list[Tensor]:
    count = coefficients.shape[1]
    if kernel.is_contiguous():
        return [row.view(shape) for row in _product(coefficients, kernel.view(count, -1))]
    out, per_group, height, width = shape  # channels last: read and returned in the order of its memory
    rows = _product(coefficients, kernel.permute(0, 2, 3, 1).reshape(count, -1))
    return [row.view(out, height, width, per_group).permute(0, 3, 1, 2) for row in rows]


def _product(coefficients: Tensor, matrix: Tensor) -> tuple[Tensor, ...]:
    """The rows of coefficients (r, n) times matrix (n, p)."""
    if len(coefficients) == 1:
        # A vector: what comes back is no view, and autograd has one step less to take back.
        return (coefficients[0] @ matrix,)
    return (coefficients @ matrix).unbind()


def _unaligned(value: Tensor) -> bool:
    return value.numel() * value.element_size() % 16 != 0
