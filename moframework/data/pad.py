"""Padding to the longest sample of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.data.collate import Collate, Item, ItemFault, stacked, stacked_targets
from moframework.data.dataset import Batch
from moframework.errors import DataError, meant
from moframework.inputs.trees import named_leaves, replaced_leaf

__all__ = ["Pad"]

_TYPES = {"bool": torch.bool, "int64": torch.int64, "float32": torch.float32}


@config
class Pad(Collate):
    """Fills up samples of different sizes to the largest of their batch.

    The rules:

    - `entries` are padded, each by itself; without it all whose samples differ in size. Everything else must have one
      size, and is stacked. The input itself, where it is one tensor, needs no name.
    - Every dimension in which samples differ is filled with `value` at its end (at its beginning with `side: left`):
      token ids (n,) to the longest text, feature sequences (n, d) to the longest, images (c, h, w) to the largest
      height and the largest width. A `value` by entry gives each its own; others get 0.
    - `length` fixes the first dimension of padded entries for all batches; a longer sample is refused, unless
      `truncate` cuts its end off. Batches of one size can be compiled, recorded, and kept on the device.
    - `multiple_of` rounds the first dimension up, so that there are fewer sizes.
    - `mask` adds an entry of that name to inputs that are a dict: (b, n), true where the padded entries have numbers of
      their own. It needs `entries`, which must agree in their first dimension sample by sample.
    - `targets` are padded likewise, with `target_value`: -100 is what cross_entropy leaves out. Other targets are
      stacked.

    ::

        collate: {name: pad, entries: [input_ids], value: 0, mask: attention_mask}

    >>> texts = [(torch.tensor([5, 6, 7]), {"topic": torch.tensor(0)}), (torch.tensor([8]), {"topic": torch.tensor(1)})]
    >>> inputs, targets = Pad().batch(texts)
    >>> inputs.tolist(), targets["topic"].tolist()
    ([[5, 6, 7], [8, 0, 0]], [0, 1])
    """

    entries: str | tuple[str, ...] | None = option(
        None,
        help="what is padded: keys or positions of inputs, dots between several; without it all that differ in size",
    )
    value: float | dict[str, float] = option(0, help="what fills: a number, or one by entry")
    side: Literal["right", "left"] = option("right", help="where: behind what is there, or before it")
    length: int | None = option(
        None, ge=1, le=10_000_000, help="fixed size of the first dimension, in place of the longest sample's"
    )
    truncate: bool = option(False, help="cut off what is beyond `length`, rather than refuse it")
    multiple_of: int = option(1, ge=1, le=10_000_000, help="the first dimension is rounded up to a multiple of this")
    mask: str | None = option(None, help="name of a further entry that tells what is no padding, (b, n)")
    mask_type: Literal["bool", "int64", "float32"] = option("bool", help="type of the mask")
    targets: tuple[str, ...] = option((), help="targets that are padded too")
    target_value: float = option(-100, help="what fills targets; cross_entropy leaves -100 out")

    def __attrs_post_init__(self) -> None:
        if self.mask is not None and not self._named:
            raise OptionError("mask tells what is no padding of certain entries: name them in `entries`", "mask")
        if self.truncate and self.length is None:
            raise OptionError("truncate cuts at `length`, which is missing", "truncate")
        if self.length is not None and self.length % self.multiple_of:
            raise OptionError(f"length must be a multiple of {self.multiple_of}, as multiple_of says", "length")

    @property
    def _named(self) -> tuple[str, ...]:
        return (self.entries,) if isinstance(self.entries, str) else self.entries or ()

    def batch(self, items: Sequence[Item]) -> Batch:
        """See `Collate.batch`."""
        inputs = [x for x, _ in items]
        columns = _columns(inputs)
        self._check_names(columns)
        named = self._named if self.entries is not None else [k for k, c in columns.items() if _differ(c)]
        for path in named:
            padded = self._padded(columns[path], self._fill(path), f"input '{path}'" if path else "input")
            inputs = [replaced_leaf(x, path, lambda _, own=own: own) for x, own in zip(inputs, padded, strict=True)]  # type: ignore[misc]
        if self.mask is not None:
            inputs = self._with_mask(inputs, columns)
        targets = [dict(given) for _, given in items]
        for key in self.targets:
            if key not in targets[0]:
                raise DataError(f"collate pad: there is no target '{key}'; there are {', '.join(targets[0])}")
            padded = self._padded([torch.as_tensor(t[key]) for t in targets], self.target_value, f"target '{key}'")
            targets = [{**given, key: own} for given, own in zip(targets, padded, strict=True)]
        rows = list(range(len(items)))
        return stacked(inputs, rows), stacked_targets(list(zip(inputs, targets, strict=True)))

    def _fill(self, path: str) -> float:
        return self.value.get(path, 0) if isinstance(self.value, Mapping) else self.value

    def _check_names(self, columns: Mapping[str, Any]) -> None:
        values = list(self.value) if isinstance(self.value, Mapping) else []
        for option_name, names in (("entries", self._named), ("value", values)):
            for name in names:
                if name not in columns:
                    known = ", ".join(columns) if "" not in columns else "one tensor alone, which has no name"
                    raise DataError(
                        f"collate pad: {option_name}: inputs have no entry '{name}'; {meant(name, columns)}they have "
                        f"{known}"
                    )

    def _padded(self, column: Sequence[Tensor], value: float, name: str) -> list[Tensor]:
        """The samples of an entry in one size."""
        for i, leaf in enumerate(column):
            if leaf.dim() == 0 or leaf.dim() != column[0].dim():
                raise ItemFault(
                    i,
                    f"the {name} has the shape {tuple(leaf.shape)}, and the first of the batch "
                    f"{tuple(column[0].shape)}: padding needs one number of dimensions, at least 1",
                )
        if self.length is not None:
            column = [self._cut(leaf, i, name) for i, leaf in enumerate(column)]
        sizes = [max(leaf.shape[d] for leaf in column) for d in range(column[0].dim())]
        sizes[0] = self.length or -(-sizes[0] // self.multiple_of) * self.multiple_of
        return [_filled(leaf, sizes, value, self.side) for leaf in column]

    def _cut(self, leaf: Tensor, position: int, name: str) -> Tensor:
        assert self.length is not None, "asked before"
        if len(leaf) > self.length and not self.truncate:
            raise ItemFault(
                position,
                f"the {name} is {len(leaf)} long, but length is {self.length} (collate pad): raise it, or set "
                "truncate: true",
            )
        return leaf[: self.length]

    def _with_mask(self, inputs: Sequence[Any], columns: Mapping[str, list[Tensor]]) -> list[Any]:
        """Dicts with the mask as a further entry."""
        limit = self.length
        found = {p: [len(leaf) if limit is None else min(len(leaf), limit) for leaf in columns[p]] for p in self._named}
        first, lengths = next(iter(found.items()))
        for path, own in found.items():
            if own != lengths:
                i = next(i for i, (a, b) in enumerate(zip(own, lengths, strict=True)) if a != b)
                raise ItemFault(
                    i,
                    f"the input '{path}' is {own[i]} long, but '{first}' {lengths[i]}: for a mask, collate pad needs "
                    "entries of equal lengths",
                )
        if not isinstance(inputs[0], Mapping):
            raise DataError(
                f"collate pad: mask adds an entry to inputs that are a dict, but they are a {type(inputs[0]).__name__}"
            )
        if self.mask in inputs[0]:
            raise DataError(f"collate pad: mask: inputs have an entry '{self.mask}' already")
        whole = len(named_leaves(inputs[0])[first])
        type_ = _TYPES[self.mask_type]
        masks = [_filled(torch.ones(n, dtype=type_), [whole], 0, self.side) for n in lengths]
        return [{**x, self.mask: mask} for x, mask in zip(inputs, masks, strict=True)]


def _columns(inputs: Sequence[Any]) -> dict[str, list[Tensor]]:
    """The samples of each entry, as tensors, by path."""
    named = [named_leaves(x) for x in inputs]
    for i, each in enumerate(named):
        if each.keys() != named[0].keys():
            raise ItemFault(
                i, f"the input has the entries {', '.join(each)}, but the first of the batch {', '.join(named[0])}"
            )
    found: dict[str, list[Tensor]] = {}
    for path in named[0]:
        try:
            found[path] = [torch.as_tensor(each[path]) for each in named]
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(f"collate pad: the input '{path}' cannot be made a tensor: {error}") from error
    return found


def _differ(column: Sequence[Tensor]) -> bool:
    return len({leaf.shape for leaf in column}) > 1


def _filled(leaf: Tensor, sizes: Sequence[int], value: float, side: str) -> Tensor:
    """A sample, filled up to these sizes."""
    missing = [size - own for size, own in zip(sizes, leaf.shape, strict=True)]
    if not any(missing):
        return leaf
    # torch counts from the last dimension: (before, after) of each.
    pads = [n for gap in reversed(missing) for n in ((gap, 0) if side == "left" else (0, gap))]
    return functional.pad(leaf, pads, value=value)
