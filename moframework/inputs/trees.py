"""Trees of tensors: the one way in which everything walks through inputs that are more than a tensor.

A *tree* is a tensor, or one of these with trees inside: a mapping with text keys, a tuple, a list, a named tuple, or
an instance of a dataclass. Mappings come back as plain dicts, unless they are dataclasses as well (as the ModelOutput
of transformers is); of a dataclass, fields that are None are no part of the tree, and stay None.

A tensor of a tree goes by its *path*: keys, positions and fields that lead to it, with dots between; "" is the root.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

__all__ = [
    "Tree",
    "children",
    "count_samples",
    "device_of",
    "is_tree",
    "mapped",
    "named_leaves",
    "replaced_leaf",
    "select_samples",
    "signature",
    "split_samples",
    "tensor_leaves",
    "with_children",
]

Tree: TypeAlias = Any
"""A tensor, or a mapping, sequence or dataclass of trees: Python's types cannot say it better."""


def children(tree: Tree) -> dict[str, Tree] | None:
    """What a tree has directly inside, by key, position or field; None of a leaf: a tensor, or what is no tree.

    >>> children({"ids": 1, "mask": 2}), children((3, 4)), children(5)
    ({'ids': 1, 'mask': 2}, {'0': 3, '1': 4}, None)
    """
    if isinstance(tree, Tensor | str | bytes):
        return None
    if isinstance(tree, Mapping):
        return {str(key): value for key, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return dict(zip(tree._fields, tree, strict=True))
    if isinstance(tree, tuple | list):
        return {str(position): value for position, value in enumerate(tree)}
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        fields = {field.name: getattr(tree, field.name) for field in dataclasses.fields(tree)}
        return {name: value for name, value in fields.items() if value is not None}
    return None


def with_children(tree: Tree, parts: Mapping[str, Tree]) -> Tree:
    """A tree of the kind of `tree` with these parts in the place of its own."""
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return dataclasses.replace(tree, **parts)
    if isinstance(tree, Mapping):
        return dict(parts)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*parts.values())
    return list(parts.values()) if isinstance(tree, list) else tuple(parts.values())


def mapped(function: Callable[[Tensor], Any], tree: Tree) -> Tree:
    """The tree with `function` of each tensor in its place.

    >>> mapped(len, {"ids": torch.zeros(3, 2), "more": (torch.zeros(4),)})
    {'ids': 3, 'more': (4,)}
    """
    if isinstance(tree, Tensor):
        return function(tree)
    parts = children(tree)
    if parts is None:
        return function(tree)
    return with_children(tree, {key: mapped(function, part) for key, part in parts.items()})


def named_leaves(tree: Tree) -> dict[str, Any]:
    """All leaves by path, in the order of the tree.

    >>> list(named_leaves({"ids": torch.zeros(1), "more": (torch.zeros(1), torch.zeros(1))}))
    ['ids', 'more.0', 'more.1']
    """
    return dict(_walk(tree, ""))


def _walk(tree: Tree, path: str) -> Iterator[tuple[str, Any]]:
    parts = children(tree)
    if parts is None:
        yield path, tree
        return
    for key, part in parts.items():
        yield from _walk(part, f"{path}.{key}" if path else key)


def tensor_leaves(tree: Tree) -> list[Tensor]:
    """All tensors, in the order of the tree."""
    return [tree] if isinstance(tree, Tensor) else list(named_leaves(tree).values())


def replaced_leaf(tree: Tree, path: str, change: Callable[[Tensor], Tensor]) -> Tree:
    """The tree with what `change` makes of the tensor at `path` in its place."""
    if not path:
        return change(tree)
    parts = children(tree) or {}
    key = next(key for key in parts if path == key or path.startswith(f"{key}."))
    return with_children(tree, {**parts, key: replaced_leaf(parts[key], path[len(key) + 1 :], change)})


def is_tree(found: object) -> bool:
    """Whether something is a tensor, or is made of tensors alone and has at least one."""
    leaves = named_leaves(found)
    return bool(leaves) and all(isinstance(leaf, Tensor) for leaf in leaves.values())


def count_samples(tree: Tree) -> int:
    """How many samples b a batch has, whose tensors are (b, …)."""
    return len(tree) if isinstance(tree, Tensor) else len(tensor_leaves(tree)[0])


def device_of(tree: Tree) -> torch.device:
    """Where the tensors are."""
    return tensor_leaves(tree)[0].device


def split_samples(tree: Tree, count: int) -> Sequence[Tree]:
    """A batch in `count` groups of consecutive samples, as `Tensor.tensor_split` sizes them."""
    if isinstance(tree, Tensor):
        return tree.tensor_split(count)
    groups = [leaf.tensor_split(count) for leaf in tensor_leaves(tree)]
    return [_refilled(tree, [each[j] for each in groups]) for j in range(count)]


def select_samples(tree: Tree, samples: slice | Tensor) -> Tree:
    """Those samples of a batch, by a slice or by their indices (k,), which are on its device; indices copy."""
    if isinstance(samples, Tensor):
        return mapped(lambda leaf: leaf.index_select(0, samples), tree)
    return mapped(lambda leaf: leaf[samples], tree)


def signature(tree: Tree) -> Hashable:
    """What trees have in common that one recording, or one decision, will do for: paths, shapes, strides and types."""
    if isinstance(tree, Tensor):
        return tree.shape, tree.stride(), tree.dtype
    return tuple((path, leaf.shape, leaf.stride(), leaf.dtype) for path, leaf in named_leaves(tree).items())


def _refilled(tree: Tree, leaves: Sequence[Tensor]) -> Tree:
    """The tree with other tensors, in its order."""
    rest = iter(leaves)
    return mapped(lambda _: next(rest), tree)
