"""Options read off a function's signature: how a plain function becomes a part with checked options."""

from __future__ import annotations

import collections.abc
import contextlib
import inspect
import re
import types
import typing
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import attrs

from moframework.config.fields import is_config
from moframework.config.options import config, option
from moframework.config.words import union_members
from moframework.errors import MoframeworkError

__all__ = ["arguments", "options_class", "part_of_function", "return_type"]

_SEQUENCES = (list, tuple, collections.abc.Sequence, collections.abc.Iterable)


def options_class(
    function: Callable[..., Any],
    *,
    name: str,
    bases: tuple[type, ...] = (),
    skip: Collection[str] = (),
    optional: Collection[str] = (),
) -> Any:
    """A config class whose options are the parameters of `function`, which is kept as its attribute `function`.

    Types come from the annotations, else from the defaults. A union keeps the members that can be written in a spec
    (`float | Tensor` becomes float), and of tuples of several lengths that of the default; a parameter with a default
    but no such type is left out. Help comes from the function's docstring.

    Args:
        function: a function or class. It may not take `*args` or `**kwargs`: a key nobody reads must not be accepted.
        name: of the new class.
        bases: its bases; their options come first.
        skip: parameters that are not options.
        optional: parameters that may be left out, or null, whatever the signature says; their default is then None.

    Raises:
        MoframeworkError: a parameter without a default cannot be written in a spec, or takes any keyword.

    >>> def power(losses, *, exponent: float = 2.0):
    ...     "The mean of losses to a power. exponent: of each loss"
    >>> options_class(power, name="Power", skip={"losses"})(exponent=3.0)
    Power(exponent=3.0)
    """
    made = _options(function, name, skip, optional)

    def body(space: dict[str, Any]) -> None:
        for key, (_, default) in made.items():
            space[key] = option(default, help=_help(function, key))
        space["__annotations__"] = {key: type_ for key, (type_, _) in made.items()}
        space["__doc__"] = inspect.getdoc(function)
        space["__module__"] = function.__module__
        space["function"] = staticmethod(function)
        space["parameters"] = tuple(made)

    # Before 25.3 attrs cannot make a class called <lambda>.
    cls: type[Any] = config(types.new_class(name if name.isidentifier() else "Function", bases, {}, body))
    cls.__name__ = cls.__qualname__ = name
    return cls


def part_of_function(function: Callable[..., Any], base: type, what: str, given: tuple[str, ...]) -> Any:
    """The class of a part around a plain function, whose first parameters are given to it and are no options.

    Args:
        base: of the class.
        what: the part, for messages: `a loss`.
        given: what the function is given, by position, for messages.

    Raises:
        MoframeworkError: it does not take so many arguments by position, or a further parameter cannot be an option.
    """
    name = getattr(function, "__name__", type(function).__name__)
    first = list(inspect.signature(function).parameters.values())[: len(given)]
    skip = {p.name for p in first if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)}
    if len(skip) < len(given):
        raise MoframeworkError(f"{what} function takes {' and '.join(given)} first, but {name} does not")
    return options_class(function, name=name, bases=(base,), skip=skip)


def arguments(options: Any) -> dict[str, Any]:
    """The keyword arguments that an object of an `options_class` stands for, without the options of its bases."""
    return {name: getattr(options, name) for name in type(options).parameters}


def return_type(function: Callable[..., Any]) -> Any:
    """What a function is annotated to return; None where it says nothing that can be resolved."""
    try:
        return _hints(function).get("return")
    except Exception:  # an annotation is any expression
        return None


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations that can be resolved; of a parameter without one, the default tells the type."""
    target = inspect.unwrap(function.__init__ if isinstance(function, type) else function)  # type: ignore[misc]
    # Names that a module imports for type checkers alone are mostly these.
    names = vars(collections.abc) | vars(typing) | getattr(target, "__globals__", {})
    hints: dict[str, Any] = {}
    for name, annotation in getattr(target, "__annotations__", {}).items():
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        with contextlib.suppress(NameError, TypeError, AttributeError):
            hints |= typing.get_type_hints(holder, globalns=names)
    return hints


def _options(
    function: Callable[..., Any], name: str, skip: Collection[str], optional: Collection[str]
) -> dict[str, tuple[Any, Any]]:
    """Type and default of each option, in the order of the signature. See `options_class`."""
    hints = _hints(function)
    made: dict[str, tuple[Any, Any]] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in skip:
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise MoframeworkError(
                f"{name}: parameter '{parameter}' cannot be an option; give each option a name of its own"
            )
        found = _option(parameter, hints, name, parameter.name in optional)
        if found is not None:
            made[parameter.name] = found
    return made


def _option(parameter: inspect.Parameter, hints: dict[str, Any], name: str, optional: bool) -> tuple[Any, Any] | None:
    """Type and default of the option that `parameter` becomes, or None where it is left out.

    Raises:
        MoframeworkError: it must be given and cannot be written in a spec.
    """
    type_, default = _type(parameter, hints), parameter.default
    required = default is parameter.empty
    if optional:
        return (Any if type_ is None else type_) | None, None
    if type_ is None or not _is_plain(default):
        if required:
            raise MoframeworkError(
                f"{name}: parameter '{parameter}' cannot be written in a spec; "
                "annotate it with a plain type or give it a default"
            )
        return None
    if isinstance(default, list):
        default = attrs.Factory(default.copy)
    elif type_ is float and type(default) is int:
        default = float(default)
    return type_, attrs.NOTHING if required else default


def _type(parameter: inspect.Parameter, hints: dict[str, Any]) -> Any:
    """The part of a parameter's type that a spec can state, or None."""
    default = parameter.default
    if parameter.name in hints:
        type_ = _of_length(_writable(hints[parameter.name]), default)
        return None if type_ is type(None) else type_  # only None is left: there is nothing to state
    if default is parameter.empty or default is None:
        return None
    if isinstance(default, tuple | list):
        kinds = {type(item) for item in default}
        return _tuple_of(kinds.pop()) if len(kinds) == 1 else None
    return _writable(type(default))


def _of_length(type_: Any, default: Any) -> Any:
    """A union without the tuples of other lengths than the default has: aliases such as `tuple[float, float] |
    tuple[float, float, float]` stand in the signatures of functions that each take one of them.

    >>> _of_length(tuple[float, float] | tuple[float, float, float], (0.9, 0.99))
    tuple[float, float]
    """
    if not isinstance(default, tuple):
        return type_
    kept = [
        member
        for member in union_members(type_) or ()
        if get_origin(member) is not tuple or ... in get_args(member) or len(get_args(member)) == len(default)
    ]
    return typing.Union[tuple(kept)] if kept else type_  # noqa: UP007


def _writable(type_: Any) -> Any:
    """`type_` without what cannot be written in a spec; None when nothing is left."""
    if type_ in (bool, int, float, str, Path, type(None), Any) or get_origin(type_) is Literal or is_config(type_):
        return type_
    members = union_members(type_)
    if members is not None:
        kept = [kind for kind in (_writable(member) for member in members) if kind is not None]
        return typing.Union[tuple(kept)] if kept else None  # noqa: UP007
    origin, inner = get_origin(type_), tuple(_writable(a) for a in get_args(type_) if a is not ...)
    if None in inner or not inner:
        return None
    if origin is tuple and ... not in get_args(type_):
        return types.GenericAlias(tuple, inner)
    if origin is list:
        return types.GenericAlias(list, inner)
    if origin in _SEQUENCES:
        return _tuple_of(inner[0])
    return types.GenericAlias(dict, inner) if origin is dict and inner[0] is str else None


def _tuple_of(type_: Any) -> Any:
    return types.GenericAlias(tuple, (type_, ...))


def _is_plain(default: object) -> bool:
    if isinstance(default, tuple | list):
        return all(_is_plain(item) for item in default)
    return default is None or default is inspect.Parameter.empty or isinstance(default, bool | int | float | str | Path)


# From `parameter:` or `parameter (type):` to the end of the sentence, of the paragraph, or the next such entry.
_ENTRY = r"(?<!\w){}`*\s*(?:\([^)]*\))?\s*:\s+(.+?)(?:\.\s|\.$|\n\s*\n|\n\s*[\w*`]+\s*(?:\([^)\n]*\))?\s*:\s|$)"


def _help(function: Callable[..., Any], parameter: str) -> str:
    """The words of the docstring on a parameter, else its name."""
    found = re.search(_ENTRY.format(re.escape(parameter)), inspect.getdoc(function) or "", re.DOTALL)
    return " ".join(found[1].split()) if found else parameter.replace("_", " ")
