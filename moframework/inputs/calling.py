"""How a network is given its inputs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from torch import nn

from moframework.inputs.trees import Tree

__all__ = ["CALLS", "HowToCall", "InputWrapper", "arguments_of", "called", "how_outside", "resolved_call"]

HowToCall: TypeAlias = Literal["auto", "one", "keywords", "positions"]
"""The rule by which inputs become the arguments of a network's `forward`:

- `one`: they are its only argument, whatever they are. A tensor always is.
- `keywords`: they are a mapping, and each entry is a keyword argument: `forward(ids=…, mask=…)`.
- `positions`: they are a tuple or list, and each entry is a positional argument: `forward(left, right)`.
- `auto`, which a problem may say and a saved model never does: a mapping goes as `keywords` where `forward` has a
  parameter for each of its keys (`**kwargs` takes those that have none, as long as one key has) and needs no other; a
  tuple or list, but no named tuple, goes as `positions` where `forward` can be called with so many positional
  arguments; everything else is `one`. So `forward(self, x)` gets the dict {"ids": …, "mask": …} whole, and the entry of
  {"x": …} by keyword.
"""


class InputWrapper(nn.Module):
    """A network around another one, which changes the inputs: it takes them whole, and gives them on.

    Attributes:
        network: the one inside.
        call: how that is given its inputs, resolved.
    """

    def __init__(self, network: nn.Module, call: HowToCall) -> None:
        super().__init__()
        self.network = network
        self.call = call


CALLS: tuple[HowToCall, ...] = ("auto", "one", "keywords", "positions")


def arguments_of(x: Tree, how: HowToCall) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments of a network for inputs x; `how` is resolved: see `HowToCall`.

    >>> arguments_of({"a": 1, "b": 2}, "keywords"), arguments_of((1, 2), "positions"), arguments_of((1, 2), "one")
    (((), {'a': 1, 'b': 2}), ((1, 2), {}), (((1, 2),), {}))
    """
    if how == "keywords":
        return (), dict(x)
    return (tuple(x), {}) if how == "positions" else ((x,), {})


def how_outside(network: nn.Module, how: HowToCall) -> HowToCall:
    """How a network is called whose innermost one is called as `how` says."""
    return "one" if isinstance(network, InputWrapper) else how


def called(network: nn.Module, x: Tree, how: HowToCall) -> Any:
    """What a network returns for inputs x; `how` is resolved, as a `Recipe` of a model has it.

    Example::

        network = model.at([0.3, 0.7])
        outputs = called(network, x, model.recipe.inputs.call)    # network(**x), network(*x) or network(x)
    """
    positional, named = arguments_of(x, how)
    return network(*positional, **named)


def resolved_call(how: HowToCall, network: nn.Module, x: Tree) -> HowToCall:
    """`how`, and what `auto` stands for with this network.

    Args:
        network: what is called.
        x: inputs, or anything of their form: keys and lengths are looked at.
    """
    if how != "auto":
        return how
    if isinstance(x, Mapping):
        return "keywords" if _takes_names(network, x) else "one"
    if isinstance(x, tuple | list):
        return "positions" if _takes(network, *x) else "one"
    return "one"


def _takes_names(network: nn.Module, x: Mapping[str, Any]) -> bool:
    try:
        parameters = inspect.signature(network.forward).parameters
    except (TypeError, ValueError):  # a function that has no signature
        return False
    own = {p.name for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return any(str(key) in own for key in x) and _takes(network, **x)


def _takes(network: nn.Module, *positional: Any, **named: Any) -> bool:
    try:
        inspect.signature(network.forward).bind(*positional, **named)
    except (TypeError, ValueError):
        return False
    return True
