"""The options of a config class: key, type, default and help of each."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Sequence
from typing import Any

import attrs

from moframework.config.options import Component, full_name
from moframework.config.words import allowed, union_members
from moframework.errors import MoframeworkError, nearest

__all__ = ["Option", "deeper", "is_config", "is_interface", "options_of", "unknown_key"]

_ALIKE = 0.8  # from here on a key is a slip of one beside it, rather than one of another section
_DEEP = 2  # sections below which a key is looked for that is not where it was written


@attrs.frozen
class Option:
    """One option of a config class."""

    key: str
    """How a spec spells it."""
    name: str
    """The attribute on the object."""
    type: Any
    """Its resolved annotation."""
    field: attrs.Attribute[Any]
    """The attrs field: validator, metadata, default."""

    @property
    def required(self) -> bool:
        """Whether a spec must give it."""
        return self.field.default is attrs.NOTHING

    @property
    def help(self) -> str:
        """The line for the reader of a spec."""
        return str(self.field.metadata.get("help", ""))

    def default(self) -> Any:
        """The value when a spec says nothing; `attrs.NOTHING` for a required option."""
        made: Any = self.field.default
        is_factory = isinstance(made, attrs.Factory)  # type: ignore[arg-type]  # a class, though its stub is a function
        return made.factory() if is_factory else made


def is_config(type_: object) -> bool:
    """Whether `type_` is a class made with `config`."""
    return isinstance(type_, type) and attrs.has(type_)


def is_interface(type_: type[Component]) -> bool:
    """Whether a spec chooses among several parts for `type_`, rather than this one class being meant."""
    return "kind" in type_.__dict__ or inspect.isabstract(type_)


def options_of(cls: Any) -> tuple[Option, ...]:
    """The options of a config class, in the order of declaration.

    Raises:
        MoframeworkError: an annotation cannot be resolved, or an option is called as something a spec reserves.
    """
    return _options_of(cls)


@functools.cache
def _options_of(cls: Any) -> tuple[Option, ...]:
    try:
        hints = typing.get_type_hints(cls)
    except (NameError, TypeError, AttributeError) as error:
        raise MoframeworkError(
            f"the annotations of {full_name(cls)} cannot be resolved ({error}): "
            "import the types of options at the top of the module, not under TYPE_CHECKING"
        ) from error
    found = tuple(
        Option(field.alias, field.name, hints.get(field.name, field.type), field)
        for field in attrs.fields(cls)
        if field.init
    )
    bare = next((option.name for option in found if option.type is None), None)
    if bare is not None:
        raise MoframeworkError(
            f"{full_name(cls)} has an option '{bare}' without a type: write one, as in `{bare}: float = option(…)`"
        )
    shadowed = next((option.name for option in found if option.name in vars(cls)), None)
    if shadowed is not None:
        also = f", or `default_{shadowed} = …`" if hasattr(cls, f"default_{shadowed}") else ""
        raise MoframeworkError(
            f"{full_name(cls)} sets '{shadowed}', which is an option that it inherits, so that the "
            f"value would be ignored: write `{shadowed}: TYPE = option(…, help=…)`{also}"
        )
    reserved = {"name", "python"} & {o.key for o in found} if issubclass(cls, Component) else set()
    if reserved:
        raise MoframeworkError(
            f"{full_name(cls)} has an option called '{reserved.pop()}', but in a spec that key chooses the part"
        )
    return found


def deeper(options: Sequence[Option], key: str) -> tuple[str, ...] | None:
    """Where a key stands that is none of `options`: the path to it in one of their sections; None for nowhere.

    >>> from moframework.spec import Spec
    >>> deeper(options_of(Spec), "epochs"), deeper(options_of(Spec), "lr")
    (('training', 'epochs'), ('training', 'optimizer', 'lr'))
    """
    level: list[tuple[tuple[str, ...], Sequence[Option]]] = [((), options)]
    for _ in range(_DEEP):
        level = [((*path, option.key), inner) for path, own in level for option in own if (inner := _inner(option))]
        for path, inner in level:
            if any(option.key == key for option in inner):
                return (*path, key)
    return None


def unknown_key(options: Sequence[Option], key: str, path: Sequence[object] = (), more: Sequence[str] = ()) -> str:
    """What is said of a key that is none of `options`: all of these, and where it was meant to be, or its right name.

    Args:
        path: of the mapping that has the key.
        more: keys that are allowed beside the options.
    """
    known = [*(option.key for option in options), *more]
    below = None if nearest(key, known, alike=_ALIKE) else deeper(options, key)
    if below is None:
        return f"unknown key; {allowed(known, key)}"
    return f"unknown key; did you mean '{'.'.join(map(str, (*path, *below)))}'? {allowed(known, None)}"


def _inner(option: Option) -> Sequence[Option]:
    """The options of the section that an option is: those of its default, else of its class. What a list or a mapping
    from names holds is none: a key of it has a number or a name before it."""
    made = option.default()
    types = [type(made), option.type, *(union_members(option.type) or ())]
    found = next((one for one in types if is_config(one) and not is_interface(one)), None)
    return () if found is None else options_of(found)
