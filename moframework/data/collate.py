"""How single items become a batch: stacked, or as a collate function says."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Any, ClassVar, TypeAlias, cast, final

import numpy as np
import torch
import torch.utils.data
from torch import Tensor

from moframework.config import Component, arguments
from moframework.config.signature import part_of_function
from moframework.data.dataset import Batch, Dataset, where
from moframework.errors import DataError
from moframework.inputs.trees import Tree, children, named_leaves, with_children

__all__ = ["Collate", "Collated", "Item", "ItemFault", "checked_batch", "collate_of", "stacked", "stacked_targets"]

Item: TypeAlias = tuple[Any, Mapping[str, Any]]
"""A sample: its input, a tensor or a tree of them, and its targets by key."""


class ItemFault(DataError):
    """What a collate function finds wrong with one item; whoever knows the data set tells its row.

    Args:
        position: of the item in the list that the function was given.
        words: what is wrong, beginning with what of the item it is about.
    """

    def __init__(self, position: int, words: str) -> None:
        super().__init__(position, words)
        self.position, self.words = position, words

    def __str__(self) -> str:
        return f"item {self.position} of a batch: {self.words}"


class Collate(Component, kind="collates"):
    """Makes a batch of single samples, where stacking them will not do: texts of different lengths, for example.

    It can also be a plain function that takes the list of items and returns (inputs, targets)::

        def collate(items, value: int = 0):
            ids = [item[0] for item in items]
            padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=value)
            return padded, {"topic": torch.stack([item[1]["topic"] for item in items])}

    All samples must be in the batch, in their order: what is evaluated, and what processes share, is counted by them.
    It runs wherever items are loaded, and in a divided batch once for all groups.

    >>> from moframework.config import config
    >>> @config
    ... class Shortest(Collate):
    ...     "Cuts texts to the shortest."
    ...     def batch(self, items):
    ...         length = min(len(ids) for ids, _ in items)
    ...         return torch.stack([ids[:length] for ids, _ in items]), stacked_targets(items)
    >>> texts = [(torch.tensor([5, 6, 7]), {"topic": torch.tensor(0)}), (torch.tensor([8]), {"topic": torch.tensor(1)})]
    >>> Shortest().batch(texts)
    (tensor([[5],
            [8]]), {'topic': tensor([0, 1])})
    """

    @classmethod
    def noun(cls) -> str:
        """What one is called in a message."""
        return "collate function"

    @abstractmethod
    def batch(self, items: Sequence[Item]) -> Batch:
        """The batch of these items, at least one: inputs (b, …) and targets {key: (b, …)}.

        Raises:
            DataError: they do not make a batch; where one of them is why, an `ItemFault`, whose row is then told.
        """

    @final
    def __call__(self, items: Sequence[Item]) -> Batch:
        """As `batch`: so it is a collate function as torch has them."""
        return self.batch(items)

    @classmethod
    def from_function(cls, function: Callable[..., Any]) -> type[Component]:
        """A collate function around a plain one that takes the list of items first; further parameters become options.

        Raises:
            MoframeworkError: it takes no items, or a further parameter cannot be an option.
        """
        given = ("the list of items",)
        made: type[Component] = part_of_function(function, _FunctionCollate, "a collate", given)
        return made


class _FunctionCollate(Collate):
    """What a plain function makes of items."""

    function: ClassVar[Callable[..., Any]]

    def batch(self, items: Sequence[Item]) -> Batch:
        """Call the function."""
        return cast(Batch, type(self).function(list(items), **arguments(self)))


class Collated(torch.utils.data.Dataset[Batch]):
    """A data set whose batches a function makes of its items.

    Args:
        data: the items.
        collate: makes a batch (inputs, {key: target}) of a list of them: a `Collate`, or any function.
        plain: the same items for another collate function, where they should have another form; None: `data`.

    Example::

        train = Collated(texts, Pad(mask="attention_mask", entries=("input_ids",)))
    """

    def __init__(self, data: Dataset, collate: Callable[[Sequence[Any]], Batch], plain: Dataset | None = None) -> None:
        self.data, self.collate = data, collate
        self.plain = data if plain is None else plain
        self.epochs = getattr(data, "epochs", None)
        known = getattr(data, "known_contents", None)
        if known is not None:
            self.known_contents = known

    def __len__(self) -> int:
        return len(cast(Sized, self.data))

    def __getitem__(self, index: int) -> Any:
        return self.data[index]

    def where(self, index: int) -> str | None:
        """Where a sample comes from, as `data` says."""
        return where(self.data, index)


def collate_of(data: Dataset) -> Callable[[Sequence[Any]], Batch] | None:
    """The collate function of a data set, or of that which it is a `torch.utils.data.Subset` of; None where items are
    stacked."""
    while isinstance(data, torch.utils.data.Subset):
        data = data.dataset
    found: Callable[[Sequence[Any]], Batch] | None = getattr(data, "collate", None)
    return found


def stacked(inputs: Sequence[Tree], rows: Sequence[int]) -> Tree:
    """Inputs of single samples as a batch, tensor by tensor; arrays and numbers become tensors.

    Args:
        inputs: of at least one sample.
        rows: their numbers in the data set, for messages.

    Raises:
        DataError: samples have other entries, or sizes, than the first, or hold what is no tensor; the text names the
            row and says what to do.
    """
    return _stacked(inputs, rows, "")


def _stacked(inputs: Sequence[Tree], rows: Sequence[int], path: str) -> Tree:
    first = children(inputs[0])
    called = f"the input '{path}'" if path else "the input"
    if first is None:
        return _stacked_leaves(inputs, rows, called)
    parts = [children(each) for each in inputs]
    for row, part in zip(rows, parts, strict=True):
        if part is None or part.keys() != first.keys():
            has = "no entries" if part is None else f"the entries {', '.join(part)}"
            raise DataError(
                f"{called} of row {row} has {has}, but that of row {rows[0]} has {', '.join(first)}: all need the same"
            )
    known = cast("list[dict[str, Tree]]", parts)
    made = {k: _stacked([part[k] for part in known], rows, f"{path}.{k}" if path else k) for k in first}
    return with_children(inputs[0], made)


def _stacked_leaves(leaves: Sequence[Any], rows: Sequence[int], called: str) -> Tensor:
    for row, leaf in zip(rows, leaves, strict=True):
        if not isinstance(leaf, Tensor | np.ndarray | np.generic | bool | int | float):
            raise DataError(
                f"{called} of row {row} is a {type(leaf).__name__}, but a network reads tensors: make one of it in the "
                "data set or in a collate function, or leave it out"
            )
        if np.shape(leaf) != np.shape(leaves[0]):
            raise DataError(
                f"{called} of row {row} has the shape {tuple(np.shape(leaf))}, but that of row {rows[0]} "
                f"{tuple(np.shape(leaves[0]))}: samples of a batch need one size. Pad them with a collate function "
                "(in a spec `collate: pad`, in code `problem_from_parts(collate=…)`), or resize them in the data set"
            )
    return cast(Tensor, torch.utils.data.default_collate(list(leaves)))


def stacked_targets(items: Sequence[Item]) -> dict[str, Tensor]:
    """Targets of single samples as those of a batch, as torch stacks them."""
    return cast("dict[str, Tensor]", torch.utils.data.default_collate([dict(targets) for _, targets in items]))


def checked_batch(batch: Any, rows: Sequence[int], source: str) -> Batch:
    """What a collate function returned, where it is a batch of all samples.

    Args:
        source: what the function is called, for messages.

    Raises:
        DataError: it is not (inputs, targets), holds what is no tensor, or has another number of samples.
    """
    if not (isinstance(batch, tuple | list) and len(batch) == 2 and isinstance(batch[1], Mapping)):
        found = f"a {type(batch).__name__}" + (f" of {len(batch)}" if isinstance(batch, Sized) else "")
        raise DataError(f"{source} must return (inputs, {{target key: target}}), but returned {found}")
    x, targets = batch
    named = {**{f"input '{path}'" if path else "input": leaf for path, leaf in named_leaves(x).items()}}
    named |= {f"target '{key}'": target for key, target in targets.items()}
    for name, leaf in named.items():
        if not isinstance(leaf, Tensor):
            raise DataError(f"{source} must make tensors of items, but its {name} is a {type(leaf).__name__}")
        if leaf.dim() == 0 or len(leaf) != len(rows):
            raise DataError(
                f"{source} was given {len(rows)} items, but its {name} has the shape {tuple(leaf.shape)}: every item "
                f"must be in the batch, so its first dimension is {len(rows)}"
            )
    return x, dict(targets)
