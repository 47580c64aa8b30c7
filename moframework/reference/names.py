"""The public names of the package: a page for each, an entry for each of its members."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from moframework.config import Component
from moframework.reference.docstrings import markdown, summary
from moframework.reference.entry import Entry, Page, anchor
from moframework.reference.importing import BESIDE, PUBLIC, home, public
from moframework.reference.options import option_texts
from moframework.reference.parts import option_lines

__all__ = ["beside_page", "name_page", "names_page"]

_BESIDE = "python/beside"
_LONGEST = 60  # characters of a default in a signature
_WIDEST = 80  # characters of a signature on one line


def names_page() -> Page:
    """The list of all public names, and the pages below it."""
    names = sorted(PUBLIC, key=str.lower)
    listed = "\n".join(f"- [`{name}`](python/{name}.md): {summary(public(name).__doc__)}" for name in names)
    text = f"""`import moframework` imports none of these; each is loaded when it is first used. What they return, and
what plug-ins import beside them, is on [a page of its own]({_BESIDE}.md).

{listed}"""
    return Page("python", "Python", text, below=(*(f"python/{name}" for name in names), _BESIDE))


def name_page(name: str) -> Page:
    """The page of a public name: what it promises, then its public members."""
    path = f"python/{name}"
    return Page(path, "", "", _entries(name, path))


def beside_page() -> Page:
    """The page of all names of `BESIDE`. One for all: each page of the site repeats the whole navigation."""
    text = "These are imported from modules of the package, which are told with each."
    entries = [entry for name in sorted(BESIDE, key=str.lower) for entry in _entries(name, _BESIDE, deeper=1)]
    return Page(_BESIDE, "What public names return, and what plug-ins import", text, tuple(entries))


def _entries(name: str, path: str, deeper: int = 0) -> tuple[Entry, ...]:
    """What a name promises, then its public members."""
    found = public(name)
    told = [_signature_block(name, found), markdown(found.__doc__)]
    if isinstance(found, type):
        told += _fields(found)
        members = tuple(_members(name, found, path, deeper))
    else:
        members = ()
    text = "\n\n".join(part for part in told if part)
    return (Entry(name, path, anchor("name", name), f"`{name}`", text, depth=1 + deeper), *members)


def _signature_block(name: str, found: Any) -> str:
    imported = f"from {home(name)} import {name}"
    if isinstance(found, type) and (issubclass(found, Component) or issubclass(found, BaseException)):
        return f"```python\n{imported}\n```"
    return f"```python\n{imported}\n\n{name}{signature(found)}\n```"


def _fields(cls: type) -> list[str]:
    """The options of a config class, and class data that a subclass may set."""
    told = []
    if attrs.has(cls) and attrs.fields(cls) and all(field.metadata.get("help") for field in attrs.fields(cls)):
        told += ["**Options**", option_lines(option_texts(cls))]
    data = [f"- `{key}`: {summary(text)}" for key, text in _class_data(cls).items()]
    heading = "**Class data**" if issubclass(cls, Component) or not attrs.has(cls) else "**Attributes**"
    return [*told, *([heading, "\n".join(data)] if data else [])]


def _class_data(cls: type) -> dict[str, str]:
    """Attributes of the class with the text that stands below each in the source."""
    found: dict[str, str] = {}
    for base in reversed(_own_bases(cls)):
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for before, after in zip(body.body, body.body[1:], strict=False):
            text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else None
            if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name) and isinstance(text, str):
                found[before.target.id] = text
    return {key: text for key, text in found.items() if not key.startswith("_")}


def _members(name: str, cls: type, path: str, deeper: int) -> Iterator[Entry]:
    """Public methods and properties, those of bases of ours too, in the order of the source."""
    seen: set[str] = set()
    for base in _own_bases(cls):
        for key, value in vars(base).items():
            if key.startswith("_") or key in seen or not _is_member(value):
                continue
            seen.add(key)
            member: Any = getattr(cls, key) if not isinstance(value, property) else value
            title = f"`{key}`" if isinstance(value, property) else f"`{key}{signature(member, short=True)}`"
            body = markdown(inspect.getdoc(member))
            yield Entry(f"{name}.{key}", path, anchor("name", name, key), title, body, depth=2 + deeper)


def _own_bases(cls: type) -> list[type]:
    """The class and its bases in this package, without what all parts of specs share."""
    ours = [base for base in cls.__mro__ if base.__module__.startswith("moframework.") and base is not Component]
    return [base for base in ours if not issubclass(base, BaseException) or base is cls]


def _is_member(value: Any) -> bool:
    return isinstance(value, property | staticmethod | classmethod) or inspect.isfunction(value)


def signature(found: Callable[..., Any], *, short: bool = False) -> str:
    """The parameters of a function as they are written in its source, a line each where they are many.

    Args:
        short: without types, as in a heading.

    >>> def add(a: int, b: int = 1, *, c: str | None = None) -> int: ...
    >>> print(signature(add), signature(add, short=True))
    (a: int, b: int = 1, *, c: str | None = None) -> int (a, b=1, *, c=None)
    """
    try:
        told = inspect.signature(found)
    except (TypeError, ValueError):
        return "(...)"
    plain = [_plain(one, short) for one in told.parameters.values() if one.name != "self"]
    back = inspect.Signature.empty if short or isinstance(found, type) else _annotation(told.return_annotation)
    text = str(told.replace(parameters=plain, return_annotation=back))
    if short or len(text) <= _WIDEST:
        return text
    names = "\n".join(f"    {one}," for one in _with_marks(plain))
    end = "" if back in (inspect.Signature.empty, None) else f" -> {back!r}"
    return f"(\n{names}\n){end}"


def _with_marks(parameters: list[inspect.Parameter]) -> Iterator[str]:
    """Parameters as text, with `*` before those that are given by name alone."""
    marked = any(one.kind is one.VAR_POSITIONAL for one in parameters)
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY and not marked:
            marked = True
            yield "*"
        yield str(one)


class _Written:
    """Shown in a signature as it is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _plain(parameter: inspect.Parameter, short: bool) -> inspect.Parameter:
    type_, default = parameter.annotation, parameter.default
    if default is attrs.NOTHING or len(repr(default)) > _LONGEST:
        default = _Written("...")
    return parameter.replace(annotation=inspect.Parameter.empty if short else _annotation(type_), default=default)


def _annotation(type_: Any) -> Any:
    """What an annotation is written as; those that are objects as their text."""
    if type_ is inspect.Parameter.empty or type_ is None:
        return type_
    text = type_ if isinstance(type_, str) else inspect.formatannotation(type_)
    return _Written(re.sub(r"Optional\[ForwardRef\('(\w+)'\)\]", r"\1 | None", text))
