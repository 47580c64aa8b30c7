"""How types and values are spoken of in messages: `a whole number or 'auto'`, `a list of 2 values`."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from moframework.config.options import Component
from moframework.errors import nearest, shortened

__all__ = ["allowed", "article", "either", "expected", "shown", "suggestion", "union_members"]

_SCALARS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    type(None): "null",
    Any: "anything",
}
_PLURALS: dict[Any, str] = {
    bool: "true/false values",
    int: "whole numbers",
    float: "numbers",
    str: "texts",
    Path: "paths",
}


# Python refuses to write whole numbers of more than 4,300 digits; nobody reads a tenth of it.
_SHOWN, _BITS = 60, 1000


def shown(value: object) -> str:
    """A value as a spec would show it, cut short; a mapping or list is only named.

    >>> shown(True), shown("4"), shown([1, 2])
    ('true', "'4'", 'a list')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, str):
        return shortened(repr(value[: _SHOWN + 1]), _SHOWN)
    if isinstance(value, int) and value.bit_length() > _BITS:
        return f"a whole number of {value.bit_length():,} bits"
    if isinstance(value, int | float):
        return shortened(repr(value), _SHOWN)
    if isinstance(value, Sequence):
        return "a list" if value else "an empty list"
    return f"a Python object of type {type(value).__qualname__}"


def either(words: Iterable[str]) -> str:
    """Words joined as alternatives: `a, b or c`."""
    *head, last = list(words)
    return f"{', '.join(head)} or {last}" if head else last


def article(noun: str) -> str:
    """A noun with its article.

    >>> article("objective"), article("solver"), article("lr schedule")
    ('an objective', 'a solver', 'an lr schedule')
    """
    return f"{'an' if noun[0] in 'aeio' or noun.startswith('lr ') else 'a'} {noun}"


# All parts of a kind, and the columns of a table that one still looks through.
_LISTED = 100


def allowed(names: Iterable[str], found: str | None) -> str:
    """The tail of a message about a wrong name: the nearest valid one, then all.

    >>> allowed(["rank", "alpha"], "rnak")
    "did you mean 'rank'? allowed: rank, alpha"
    """
    choices = list(names)
    guess = nearest(found, choices) or next((c for c in choices if c.startswith(found)), None) if found else None
    listed = ", ".join(shortened(choice) for choice in choices[:_LISTED]) if choices else "none"
    if len(choices) > _LISTED:
        listed += f" and {len(choices) - _LISTED:,} more"
    return (f"did you mean '{guess}'? " if guess else "") + f"allowed: {listed}"


def union_members(type_: Any) -> tuple[Any, ...] | None:
    """The members of `X | Y`, or None when `type_` is no union."""
    return get_args(type_) if get_origin(type_) in (typing.Union, types.UnionType) else None


def expected(type_: Any) -> str:
    """What a value of this type is called: `a list of whole numbers`, `'shared' or 'split'`.

    >>> expected(tuple[int, ...] | None)
    'a list of whole numbers or null'
    """
    if type_ in _SCALARS:
        return _SCALARS[type_]
    members = union_members(type_)
    if members is not None:
        return either(word for member in members for word in _alternatives(member))
    origin, arguments = get_origin(type_), get_args(type_)
    if origin is Literal:
        return either(_alternatives(type_))
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is ...):
        return f"a list of {len(arguments)} values ({', '.join(expected(a) for a in arguments)})"
    if origin in (tuple, list):
        return f"a list of {_plural(arguments[0])}"
    if origin is dict:
        return f"a mapping of names to {_plural(arguments[1])}"
    if isinstance(type_, type) and issubclass(type_, Component):
        return f"the name of {article(type_.noun())}, or a mapping with its options"
    return "a mapping of options"


def suggestion(value: object, type_: Any) -> str:
    """`; did you mean …?` when a value of the wrong type shows what was meant; else nothing.

    >>> suggestion("4", int), suggestion("yes", bool), suggestion("splti", Literal["shared", "split"])
    ('; did you mean 4 (without quotes)?', '; did you mean true?', "; did you mean 'split'?")
    """
    members = union_members(type_) or (type_,)
    meant: str | None = None
    if isinstance(value, float) and int in members and value.is_integer():
        meant = str(int(value))
    elif isinstance(value, str) and len(value) <= _SHOWN:
        word = value.strip().lower()
        if bool in members and word in _BOOLS:
            meant = _BOOLS[word]
        elif type(None) in members and word in ("none", "nil", "~"):
            meant = "null"
        elif (int in members and _INT.fullmatch(word)) or (float in members and _FLOAT.fullmatch(word)):
            meant = f"{word} (without quotes)"
        else:
            words = [c for member in members if get_origin(member) is Literal for c in get_args(member)]
            near = nearest(value, [c for c in words if isinstance(c, str)])
            meant = None if near is None else f"'{near}'"
    return "" if meant is None else f"; did you mean {meant}?"


_BOOLS = {"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false", "false": "false"}
_INT = re.compile(r"[-+]?\d+")
_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?")


def _alternatives(type_: Any) -> list[str]:
    if type_ is bool:
        return ["true", "false"]
    return [shown(c) for c in get_args(type_)] if get_origin(type_) is Literal else [expected(type_)]


def _plural(type_: Any) -> str:
    if type_ in _PLURALS:
        return _PLURALS[type_]
    if isinstance(type_, type) and issubclass(type_, Component):
        return f"parts, each {expected(type_)}"
    return f"values, each {expected(type_)}"
