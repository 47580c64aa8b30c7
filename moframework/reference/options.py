"""The options of a config class in words: key, what it may be, default, help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import attrs
import yaml
from attrs import frozen

from moframework.config import Component, unstructure
from moframework.config.fields import Option, options_of
from moframework.config.references import reference_to
from moframework.config.words import expected, union_members
from moframework.errors import MoframeworkError

__all__ = ["OptionText", "deep_texts", "nested", "option_text", "option_texts"]

_BOUNDS = {"gt": "greater than", "ge": "at least", "lt": "less than", "le": "at most"}


@frozen
class OptionText:
    """One option for people.

    Attributes:
        key: as a spec spells it.
        takes: what it may be, with its bounds.
        default: as a spec would have it; None where it must be given.
        help: of its declaration.
        kinds: kinds of parts that it may name.
    """

    key: str
    takes: str
    default: str | None
    help: str
    kinds: tuple[str, ...]


def option_texts(cls: Any) -> tuple[OptionText, ...]:
    """The options of a config class, in order.

    >>> from moframework.preferences.dirichlet import Dirichlet
    >>> (found,) = (one for one in option_texts(Dirichlet) if one.key == "concentration")
    >>> print(found.key, "|", found.takes, "|", found.default)
    concentration | a number, at least 0.001 | 1.0
    """
    return tuple(option_text(option) for option in options_of(cls))


def deep_texts(cls: Any, prefix: str = "") -> Iterator[OptionText]:
    """The options of a config class, each followed by those of the config classes in it, with dotted keys."""
    for option in options_of(cls):
        text = option_text(option)
        yield attrs.evolve(text, key=prefix + text.key)
        for between, inner in nested(option.type):
            yield from deep_texts(inner, f"{prefix}{text.key}{between}.")


def option_text(option: Option) -> OptionText:
    """One option of a config class."""
    bounds = option.field.metadata.get("bounds", {})
    rules = " and ".join(f"{_BOUNDS[rule]} {limit:g}" for rule, limit in bounds.items())
    takes = expected(option.type) + (f", {rules}" if rules else "")
    default = option.default()
    written = None if default is attrs.NOTHING else _written(default)
    return OptionText(option.key, takes, written, option.help, tuple(dict.fromkeys(_kinds(option.type))))


def nested(type_: Any) -> Iterator[tuple[str, type]]:
    """The config classes in the type of an option that are no parts, each with what stands between the option's key and
    theirs: nothing, `[]` for each of a list, `.NAME` for each of a mapping."""
    for member in union_members(type_) or (type_,):
        if isinstance(member, type) and attrs.has(member) and not issubclass(member, Component):
            yield "", member
        arguments = [argument for argument in get_args(member) if argument is not ...]
        if not isinstance(member, type) and arguments and union_members(member) is None:
            between = ".NAME" if len(arguments) == 2 and arguments[0] is str else "[]"
            for argument in arguments:
                yield from ((f"{between}{path}", cls) for path, cls in nested(argument))


def _kinds(type_: Any) -> Iterator[str]:
    if isinstance(type_, type) and issubclass(type_, Component):
        yield type_.interface().kind
    for argument in get_args(type_):
        yield from _kinds(argument)


def _written(value: Any) -> str:
    """A default as a spec would have it, on one line; of a part what differs from its own defaults."""
    plain = _brief(value)
    if plain is None:
        return "none"
    text: str = yaml.safe_dump(plain, default_flow_style=True, allow_unicode=True, sort_keys=False, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...")


def _brief(value: Any) -> Any:
    if isinstance(value, Component):
        try:
            name = reference_to(type(value))
        except MoframeworkError:  # a part that no spec could name
            return type(value).__name__
        changed = _changed(value)
        return {**name, **changed} if changed else name.get("name", name)
    if attrs.has(type(value)):
        return _changed(value)
    if isinstance(value, Mapping):
        return {key: _brief(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_brief(item) for item in value]
    return str(value) if isinstance(value, Path) else unstructure(value)


def _changed(value: Any) -> dict[str, Any]:
    """The options of an object that are not the defaults of its class."""
    options = options_of(type(value))
    return {o.key: _brief(getattr(value, o.name)) for o in options if getattr(value, o.name) != o.default()}
