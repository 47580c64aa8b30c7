"""Data of a user's own, in the forms that torch users have it, as the engine sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import Any, cast

import torch
import torch.utils.data
from torch import Tensor

from moframework.data.dataset import Batch, Dataset, TensorData
from moframework.errors import SpecError

__all__ = ["adapted"]


def adapted(given: Any, keys: Sequence[str]) -> Dataset:
    """`given` as a data set of inputs and named targets.

    Args:
        given: one of

            - a map-style torch data set whose items are (input, target);
            - a pair of tensors, inputs (n, ...) and target, both in memory;
            - a `DataLoader` over such a data set. Batch size, order and workers are then those of the training, not
              the loader's.

            A target is a dict by key, a tuple or list in the order of `keys`, or, where there is one key, the target
            itself.
        keys: of the targets that the tasks read.

    Raises:
        SpecError: it is none of these; the text says what it is.

    >>> data = adapted((torch.zeros(3, 2), torch.tensor([0, 1, 1])), ["class"])
    >>> data[1][1]
    {'class': tensor(1)}
    """
    if isinstance(given, TensorData):
        return given
    if isinstance(given, torch.utils.data.DataLoader):
        if given.collate_fn is not torch.utils.data.default_collate:
            raise SpecError(
                "a DataLoader with a collate_fn of its own cannot be taken, since batches are made anew: "
                "let the items of its data set be what it makes of them"
            )
        return adapted(given.dataset, keys)
    if isinstance(given, tuple | list) and len(given) == 2 and isinstance(given[0], Tensor):
        inputs, target = given
        try:
            return TensorData(inputs, _named(target, keys))
        except ValueError as error:
            raise SpecError(f"the data does not fit: {error}") from error
    if not isinstance(given, torch.utils.data.Dataset) or not isinstance(given, Sized):
        raise SpecError(
            "data must be a torch Dataset with a length, a pair of tensors (inputs, targets), or a DataLoader, "
            f"but it is a {type(given).__name__}"
        )
    return _Named(cast(Dataset, given), tuple(keys))


class _Named(torch.utils.data.Dataset[Batch]):
    """A data set with its targets by name."""

    def __init__(self, data: Dataset, keys: tuple[str, ...]) -> None:
        self.data = data
        self.keys = keys

    def __len__(self) -> int:
        return len(cast(Sized, self.data))

    def __getitem__(self, index: int) -> Batch:
        item: Any = self.data[index]
        if not isinstance(item, tuple | list) or len(item) != 2:
            described = f"{len(item)} values" if isinstance(item, tuple | list) else f"a {type(item).__name__}"
            raise SpecError(
                f"items of {type(self.data).__name__} must be (input, target), but item {index} is {described}"
            )
        return item[0], _named(item[1], self.keys)


def _named(target: Any, keys: Sequence[str]) -> dict[str, Any]:
    if isinstance(target, Mapping):
        return dict(target)
    if isinstance(target, tuple | list) and len(target) == len(keys):
        return dict(zip(keys, target, strict=True))
    if len(keys) == 1 and not isinstance(target, tuple | list):
        return {keys[0]: target}
    found = f"{len(target)} values" if isinstance(target, tuple | list) else f"a {type(target).__name__}"
    raise SpecError(
        f"the tasks read the targets {', '.join(keys)}: give a dict with these keys or a tuple in this order, "
        f"not {found}"
    )
