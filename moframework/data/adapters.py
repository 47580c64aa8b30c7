"""Data of a user's own, in the forms that torch users have it, as the engine sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Any, cast

import torch
import torch.utils.data

from moframework.data.collate import Collate, Collated
from moframework.data.dataset import Batch, Dataset, TensorData, where
from moframework.errors import SpecError
from moframework.inputs.trees import is_tree

__all__ = ["adapted"]


CollateFunction = Callable[[list[Any]], Any]


def adapted(given: Any, keys: Sequence[str], collate: Collate | CollateFunction | None = None) -> Dataset:
    """`given` as a data set of inputs and named targets.

    Args:
        given: one of

            - a map-style torch data set whose items are (input, target);
            - a pair, inputs (n, ...) and target, both in memory: tensors, or dicts, tuples and dataclasses of tensors;
            - a `DataLoader` over such a data set. Batch size, order and workers are then those of the training, not
              the loader's; a collate function of its own is used.

            An input is a tensor, or a dict, tuple or dataclass of tensors, nested too.

            A target is a dict by key, a tuple or list in the order of `keys`, or, where there is one key, the target
            itself.
        keys: of the targets that the tasks read.
        collate: makes batches of items: a `Collate`, which sees targets by name, or any function from the list of
            items, as the data set gives them, to (inputs, target). None: that of a `DataLoader`, or items are stacked.

    Raises:
        SpecError: it is none of these, the text says what it is; or there are two collate functions.

    >>> data = adapted((torch.zeros(3, 2), torch.tensor([0, 1, 1])), ["class"])
    >>> data[1][1]
    {'class': tensor(1)}
    """
    if isinstance(given, torch.utils.data.DataLoader):
        own = given.collate_fn
        if own is torch.utils.data.default_collate:
            return adapted(given.dataset, keys, collate)
        if collate is not None:
            raise SpecError(
                "the data is a DataLoader with a collate_fn of its own, and `collate` is given too: keep one"
            )
        return adapted(given.dataset, keys, own)
    if isinstance(given, tuple | list) and len(given) == 2 and is_tree(given[0]):
        inputs, target = given
        try:
            given = TensorData(inputs, _named(target, keys))
        except ValueError as error:
            raise SpecError(f"the data does not fit: {error}") from error
    if not isinstance(given, torch.utils.data.Dataset) or not hasattr(given, "__len__"):
        raise SpecError(
            "data must be a torch Dataset with a length, a pair (inputs, targets) of tensors or dicts of tensors, or a "
            f"DataLoader, but it is a {type(given).__name__}"
        )
    made = given if isinstance(given, TensorData) else _Named(cast(Dataset, given), tuple(keys))
    if collate is not None and not isinstance(collate, Collate):
        return Collated(cast(Dataset, given), _NamingTargets(collate, tuple(keys)), made)
    return made if collate is None else Collated(made, collate)


class _NamingTargets:
    """A collate function of a user's own, and after it the names of the targets."""

    def __init__(self, function: CollateFunction, keys: tuple[str, ...]) -> None:
        self.function, self.keys = function, keys
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, items: Sequence[Any]) -> Batch:
        batch = self.function(list(items))
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            found = f"{len(batch)} values" if isinstance(batch, Sized) else f"a {type(batch).__name__}"
            raise SpecError(f"the collate function {self.__name__} must return (inputs, target), but returned {found}")
        return batch[0], _named(batch[1], self.keys)


class _Named(torch.utils.data.Dataset[Batch]):
    """A data set with its targets by name."""

    def __init__(self, data: Dataset, keys: tuple[str, ...]) -> None:
        self.data = data
        self.keys = keys
        self.epochs = getattr(data, "epochs", None)

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

    def where(self, index: int) -> str | None:
        """Where a sample comes from, as the data set says."""
        return where(self.data, index)


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
