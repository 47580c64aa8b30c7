"""`InputForm`: what a problem's inputs look like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, cast

import attrs
import torch
from attrs import field, frozen
from torch import Tensor, nn

from moframework.inputs.calling import CALLS, HowToCall, InputWrapper, resolved_call
from moframework.inputs.trees import Tree, children, named_leaves

__all__ = ["Entry", "InputForm", "InputShape", "Node", "as_form"]

InputShape: TypeAlias = Any
"""The shape of one sample's input without the batch dimension: `(3, 32, 32)`, None for a size that varies, or for a
tree such shapes in a dict or a tuple: `{"ids": (None,), "mask": (None,)}`."""

_Kind = Literal["dict", "tuple", "object"]
_VARYING = 4  # any size will do where it varies; a few, so that windows and kernels find something


@frozen
class Entry:
    """One tensor of the inputs.

    Attributes:
        shape: of a sample, without the batch dimension; None for sizes that vary from batch to batch.
        dtype: as the network reads it.
    """

    shape: tuple[int | None, ...]
    dtype: torch.dtype = torch.float32

    def __str__(self) -> str:
        sizes = ", ".join("any" if size is None else str(size) for size in self.shape)
        return f"({sizes}{',' if len(self.shape) == 1 else ''}) {_name(self.dtype)}"


@frozen
class Node:
    """What has further inputs inside: a mapping (`dict`), a tuple or list (`tuple`), or a dataclass or named tuple
    (`object`)."""

    kind: _Kind
    parts: dict[str, Node | Entry]


@frozen(kw_only=True)
class InputForm:
    """What a problem's inputs look like: their structure, the shape and type of each tensor, how a network gets them.

    Attributes:
        tree: an `Entry` where inputs are one tensor, else a `Node`.
        call: how they become the arguments of the network; in a model's recipe it is resolved, elsewhere it may be
            `auto`.

    >>> form = InputForm.of({"ids": (None,), "age": ()})
    >>> form.shape, str(form)
    ({'ids': (None,), 'age': ()}, 'ids (any,) float32, age () float32')
    """

    tree: Node | Entry
    call: HowToCall = field(default="auto", validator=attrs.validators.in_(CALLS))

    @classmethod
    def of(cls, shape: InputShape) -> InputForm:
        """The form of floating-point inputs of these shapes; a form comes back as it is."""
        return shape if isinstance(shape, InputForm) else cls(tree=_of_shape(shape))

    @classmethod
    def of_batch(cls, x: Tree, shape: InputShape | None = None) -> InputForm:
        """The form of inputs like those of a batch (b, …): its structure and types, and its shapes.

        Args:
            shape: in the place of the batch's own shapes, where it is known which sizes vary.

        Raises:
            ValueError: x holds something that is no tensor, or `shape` is of another structure.
        """
        made = cls(tree=_of_batch(x, ""))
        if shape is None:
            return made
        stated, found = _entries(_of_shape(shape)), _entries(made.tree)
        if list(stated) != list(found):
            raise ValueError(f"inputs should be {cls(tree=_of_shape(shape))}, but the data has {made}")
        return cls(tree=_replaced(made.tree, {k: attrs.evolve(e, shape=stated[k].shape) for k, e in found.items()}))

    @property
    def shape(self) -> InputShape:
        """The shape of one sample's input; of a tree: a dict or tuple of shapes."""
        return _filled(self.tree, lambda entry: entry.shape)

    @property
    def is_tensor(self) -> bool:
        """Whether inputs are one tensor."""
        return isinstance(self.tree, Entry)

    @property
    def has_images(self) -> bool:
        """Whether a tensor among them may be images, (channels, height, width) a sample."""
        return any(len(entry.shape) == 3 and entry.dtype.is_floating_point for entry in self.entries.values())

    @property
    def entries(self) -> dict[str, Entry]:
        """The tensors by path; "" where there is one alone."""
        return _entries(self.tree)

    def resolved(self, network: nn.Module) -> InputForm:
        """This form with what `auto` stands for with this network; see `HowToCall`."""
        if isinstance(network, InputWrapper):
            return attrs.evolve(self, call=network.call)
        whole = isinstance(self.tree, Entry) or self.tree.kind == "object"
        return attrs.evolve(self, call="one" if whole else resolved_call(self.call, network, self.shape))

    def replaced(self, path: str, entry: Entry) -> InputForm:
        """The same form with another tensor at `path`."""
        return attrs.evolve(self, tree=_replaced(self.tree, {path: entry}))

    def example(self, count: int) -> Tree:
        """Inputs of this form, all zeros: `count` samples, sizes that vary being 4.

        Raises:
            ValueError: a part is an object of a class, which a form does not know.
        """

        def zeros(entry: Entry) -> Tensor:
            return torch.zeros(count, *(_VARYING if n is None else n for n in entry.shape), dtype=entry.dtype)

        if any(node.kind == "object" for node in _nodes(self.tree)):
            raise ValueError("inputs hold an object of a class, whose form alone does not make one; use a dict")
        return _filled(self.tree, zeros)

    def matches(self, x: Tree) -> bool:
        """Whether x has the structure of such inputs and tensors of as many dimensions."""
        return self.fault(x) is None

    def fault(self, x: Tree) -> str | None:
        """What is wrong with the structure of x, a batch, in words; None where it is as it should be. Sizes and types
        are not looked at."""
        found, expected = named_leaves(x), self.entries
        missing = [path for path in expected if path not in found]
        further = [path for path in found if path not in expected]
        if missing or further:
            words = [f"lack {_listed(missing)}"] * bool(missing) + [f"have {_listed(further)} too"] * bool(further)
            return f"inputs should be {self}, but these {' and '.join(words)}"
        for path, entry in expected.items():
            leaf = found[path]
            if not isinstance(leaf, Tensor):
                return f"{_called(path)} should be a tensor, but is a {type(leaf).__name__}"
            if leaf.dim() != len(entry.shape) + 1:
                return (
                    f"{_called(path)} should be (b, {', '.join('any' if n is None else str(n) for n in entry.shape)}), "
                    f"but has the shape {tuple(leaf.shape)}"
                )
        return None

    def __str__(self) -> str:
        return ", ".join(f"{path} {entry}".lstrip() for path, entry in self.entries.items())

    def describe(self) -> str:
        """The form and, where inputs are more than one tensor and it is resolved, how they are given; for people."""
        ways = {"one": "as one argument", "keywords": "by keyword", "positions": "one after the other"}
        return str(self) if self.is_tensor or self.call == "auto" else f"{self}; given {ways[self.call]}"

    def as_plain(self) -> dict[str, Any]:
        """What `from_plain` makes the form of: dicts, lists, text and numbers."""
        return {"call": self.call, "tree": _as_plain(self.tree)}

    @classmethod
    def from_plain(cls, plain: Any) -> InputForm:
        """The form that `as_plain` wrote.

        Raises:
            ValueError: it wrote no such thing.
        """
        try:
            if plain["call"] not in CALLS:
                raise ValueError(f"'{plain['call']}' is no way to call a network; allowed: {', '.join(CALLS)}")
            return cls(tree=_from_plain(plain["tree"]), call=plain["call"])
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"this is not the form of a model's inputs: {type(error).__name__} ({error})") from error


def as_form(given: InputForm | InputShape) -> InputForm:
    """`InputForm.of`, as a converter."""
    return InputForm.of(given)


def _of_shape(shape: InputShape) -> Node | Entry:
    if isinstance(shape, Mapping):
        return Node("dict", {str(key): _of_shape(part) for key, part in shape.items()})
    if shape and all(isinstance(part, tuple | list | Mapping) for part in shape):
        return Node("tuple", {str(position): _of_shape(part) for position, part in enumerate(shape)})
    return Entry(tuple(shape))


def _of_batch(x: Tree, path: str) -> Node | Entry:
    parts = children(x)
    if parts is None:
        if not isinstance(x, Tensor):
            raise ValueError(f"{_called(path)} should be a tensor, but is a {type(x).__name__}")
        return Entry(tuple(x.shape[1:]), x.dtype)
    plain_sequence = isinstance(x, tuple | list) and not hasattr(x, "_fields")
    kind: _Kind = "dict" if isinstance(x, Mapping) else "tuple" if plain_sequence else "object"
    return Node(kind, {key: _of_batch(part, f"{path}.{key}" if path else key) for key, part in parts.items()})


def _entries(tree: Node | Entry, path: str = "") -> dict[str, Entry]:
    if isinstance(tree, Entry):
        return {path: tree}
    found: dict[str, Entry] = {}
    for key, part in tree.parts.items():
        found |= _entries(part, f"{path}.{key}" if path else key)
    return found


def _nodes(tree: Node | Entry) -> list[Node]:
    return [] if isinstance(tree, Entry) else [tree, *(node for part in tree.parts.values() for node in _nodes(part))]


def _replaced(tree: Node | Entry, entries: Mapping[str, Entry], path: str = "") -> Node | Entry:
    if isinstance(tree, Entry):
        return entries.get(path, tree)
    parts = {k: _replaced(part, entries, f"{path}.{k}" if path else k) for k, part in tree.parts.items()}
    return Node(tree.kind, parts)


def _filled(tree: Node | Entry, make: Callable[[Entry], Any]) -> Any:
    """A dict or tuple of what `make` makes of each entry."""
    if isinstance(tree, Entry):
        return make(tree)
    parts = {key: _filled(part, make) for key, part in tree.parts.items()}
    return tuple(parts.values()) if tree.kind == "tuple" else parts


def _as_plain(tree: Node | Entry) -> dict[str, Any]:
    if isinstance(tree, Entry):
        return {"shape": list(tree.shape), "dtype": _name(tree.dtype)}
    return {tree.kind: {key: _as_plain(part) for key, part in tree.parts.items()}}


def _from_plain(plain: Any) -> Node | Entry:
    if "shape" in plain:
        sizes, dtype = plain["shape"], getattr(torch, str(plain["dtype"]), None)
        if not isinstance(dtype, torch.dtype):
            raise ValueError(f"'{plain['dtype']}' is not the type of a tensor")
        if not all(size is None or (type(size) is int and size >= 0) for size in sizes):
            raise ValueError(f"{sizes} is not the shape of a tensor")
        return Entry(tuple(sizes), dtype)
    if len(plain) != 1:
        raise ValueError(f"{', '.join(map(str, plain)) or 'nothing'} is no kind of inputs")
    ((kind, parts),) = plain.items()
    if kind not in ("dict", "tuple", "object"):
        raise ValueError(f"'{kind}' is no kind of inputs")
    return Node(cast(_Kind, kind), {str(key): _from_plain(part) for key, part in parts.items()})


def _called(path: str) -> str:
    return f"the input '{path}'" if path else "the input"


def _listed(paths: list[str]) -> str:
    return ", ".join(f"'{path}'" if path else "one tensor alone" for path in paths)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
