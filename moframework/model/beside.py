"""Weights that modules keep beside their parameters: in lists of their own, as recurrent layers do.

A network runs with weights that are put in the place of its parameters. What a module has stored elsewhere would stay
what it was: it would neither depend on λ nor be trained. So these places are found and filled too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from torch import Tensor, nn

from moframework.errors import SpecError

__all__ = ["Beside"]

_OF_TORCH = frozenset(vars(nn.Module())) | {"_flat_weights", "_flat_weight_refs"}


class Beside:
    """The places of a network that hold parameters, besides the registries of its modules.

    Lists, dictionaries and attributes of modules are looked through; what a closure holds cannot be seen.

    Args:
        network: with its parameters in place.
        names: the name of each parameter, by `id`; of tied ones the first.
        aliases: further names of tied parameters, and the first one of each.

    Attributes:
        where: each of them in words, such as "recurrent layers".

    Raises:
        SpecError: a module holds a parameter in a tuple, in which nothing can be put.
    """

    def __init__(self, network: nn.Module, names: Mapping[int, str], aliases: Mapping[str, str]) -> None:
        self._recurrent = [(name, m) for name, m in network.named_modules() if isinstance(m, nn.RNNBase)]
        self._aliases = aliases
        self._places: list[tuple[dict[str, Any], tuple[Any, ...], str]] = []
        self.where = ["recurrent layers"] if self._recurrent else []
        for prefix, module in network.named_modules():
            for path, parameter in _found(vars(module), names):
                self._places.append((vars(module), path, names[id(parameter)]))
                self.where.append(f"weights in {prefix or type(module).__name__}.{path[0]}")
        self.where = list(dict.fromkeys(self.where))

    def fill(self, weights: Mapping[str, Tensor]) -> None:
        """Put weights, by the names of parameters, in their places. Weights of a recurrent layer that something
        computes (a parametrization, a hook) are what it gives."""
        for prefix, module in self._recurrent:
            names = [(f"{prefix}.{key}" if prefix else key, key) for key in module._flat_weights_names]
            given = [(weights.get(self._aliases.get(name, name)), key) for name, key in names]
            module._flat_weights = [getattr(module, key, None) if own is None else own for own, key in given]
        for attributes, path, name in self._places:
            _put(attributes, path, weights[name])

    def held(self) -> list[Any]:
        """What these places hold now, for `restore`."""
        recurrent = [(module._flat_weights, module._flat_weight_refs) for _, module in self._recurrent]
        return [recurrent, [_get(attributes, path) for attributes, path, _ in self._places]]

    def restore(self, held: list[Any]) -> None:
        """Put back what `held` returned."""
        for (_, module), (weights, references) in zip(self._recurrent, held[0], strict=True):
            module._flat_weights, module._flat_weight_refs = weights, references
        for (attributes, path, _), value in zip(self._places, held[1], strict=True):
            _put(attributes, path, value)

    def clear(self) -> None:
        """Take them out. Torch keeps weak references to those of recurrent layers, too."""
        for _, module in self._recurrent:
            count = len(module._flat_weights_names)
            module._flat_weights, module._flat_weight_refs = [None] * count, [None] * count
        for attributes, path, _ in self._places:
            _put(attributes, path, None)


def _found(attributes: Mapping[str, Any], names: Mapping[int, str]) -> Iterator[tuple[tuple[Any, ...], nn.Parameter]]:
    """Each of the named parameters in the attributes of a module, with the keys that lead to it."""
    seen: set[int] = set()  # containers may hold themselves
    stack: list[tuple[tuple[Any, ...], Any, bool]] = [
        ((key,), value, False) for key, value in attributes.items() if key not in _OF_TORCH
    ]
    while stack:
        path, value, fixed = stack.pop()
        if isinstance(value, nn.Parameter) and id(value) in names:
            if fixed:
                raise SpecError(
                    f"backbone: a module holds the parameter {names[id(value)]} in the tuple {path[0]}, where it "
                    "cannot be replaced by θ(λ): let it be a list, or read the parameter where it is used"
                )
            yield path, value
        elif isinstance(value, list | tuple | dict) and id(value) not in seen:
            seen.add(id(value))
            items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
            stack += [((*path, key), item, fixed or isinstance(value, tuple)) for key, item in items]


def _get(attributes: dict[str, Any], path: tuple[Any, ...]) -> Any:
    place = cast(Any, attributes)
    for key in path:
        place = place[key]
    return place


def _put(attributes: dict[str, Any], path: tuple[Any, ...], value: Tensor | None) -> None:
    place = cast(Any, attributes)
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
