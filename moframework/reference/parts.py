"""Everything that a spec can name: a page for each kind, an entry for each part."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from moframework.config import Component, entries
from moframework.config.fields import options_of
from moframework.config.words import article
from moframework.errors import MoframeworkError, UnknownNameError, nearest
from moframework.reference.catalog import KINDS, PACKAGE_KINDS, all_kinds
from moframework.reference.docstrings import escaped, markdown, summary
from moframework.reference.entry import Entry, Page, anchor
from moframework.reference.importing import attribute
from moframework.reference.options import OptionText, deep_texts

__all__ = ["find_part", "interface_of", "kind_page", "option_lines", "part_entry"]


def interface_of(kind: str) -> type[Component]:
    """The interface that all parts of a kind have. No plug-in is asked, which may be broken."""
    if kind in PACKAGE_KINDS:
        return cast(type[Component], attribute(PACKAGE_KINDS[kind][0]))
    loaded = (entry.load() for entry in entries(kind) if entry.package == "moframework")
    return next(part for part in loaded if isinstance(part, type) and issubclass(part, Component)).interface()


def find_part(kind: str, name: str) -> type[Component]:
    """The class of a part, with its options as fields.

    Raises:
        UnknownNameError: there is no such kind, or no such part; the text proposes the nearest.
        MoframeworkError: it cannot be imported.
    """
    if kind not in all_kinds():
        guess = nearest(kind, all_kinds())
        hint = f"; did you mean '{guess}'?" if guess else "."
        raise UnknownNameError(f"there is no kind '{kind}'{hint} Kinds: {', '.join(all_kinds())}")
    return interface_of(kind).lookup(name)


def kind_page(kind: str) -> Page:
    """The page of a kind: what all its parts share, then each of them."""
    interface = interface_of(kind)
    introduction = [f"{KINDS.get(kind, kind).capitalize()}.", _how(interface)]
    if interface.overrides is not None:
        introduction += [f"Keys of all {kind}:", option_lines(deep_texts(interface.overrides))]
    absent = interface.unavailable()
    if absent is not None:
        introduction.append(escaped(absent))
    names = () if absent is not None else interface.names()
    return Page(f"parts/{kind}", kind, "\n\n".join(introduction), tuple(part_entry(kind, name) for name in names))


def part_entry(kind: str, name: str) -> Entry:
    """What is said of one part: its docstring, its options, where it comes from."""
    try:
        body = _body(find_part(kind, name))
    except MoframeworkError as error:  # a plug-in that does not load harms only itself
        body = escaped(str(error))
    return Entry(f"{kind}/{name}", f"parts/{kind}", anchor("part", kind, name), f"`{name}`", body)


def option_lines(options: Iterable[OptionText], prefix: str = "") -> str:
    """Options as a list in Markdown.

    Args:
        prefix: of the keys, such as `training.`.
    """
    return "\n".join(f"- `{prefix}{one.key}` ({takes(one)}): {escaped(one.help)}" for one in options) or "None."


def takes(one: OptionText) -> str:
    """What an option may be, and its default, in Markdown."""
    default = "must be given" if one.default is None else f"default `{one.default}`"
    values = re.sub(r"'([^']*)'", r"`\1`", one.takes)
    return f"{escaped(values)}; {default}"


def _body(part: type[Component]) -> str:
    own = part.interface().kind not in PACKAGE_KINDS
    # What other packages say is long, and written for their own pages.
    told = [markdown(part.__doc__) if own else summary(part.__doc__), "**Options**", option_lines(deep_texts(part))]
    kinds = dict.fromkeys(kind for one in deep_texts(part) for kind in one.kinds)
    if kinds:
        told.append("Parts that these options name: " + ", ".join(f"[{kind}]({kind}.md)" for kind in kinds) + ".")
    imported = import_of(part) if own else None  # theirs are often imported from a place that their pages do not name
    python = [] if imported is None else [f"In Python: `{imported}`"]
    return "\n\n".join([*told, *python, f"Source: `{source_of(part)}`"])


def _how(interface: type[Component]) -> str:
    name = interface.__name__
    return (
        f"In a spec {article(interface.noun())} is written by its name, or as a mapping with `name` and its options; "
        f"one of your own as `{{python: ./file.py:NAME}}`. All derive from `{interface.__module__}.{name}`."
    )


def import_of(part: Any) -> str | None:
    """The line that imports what a part is made from, a class or a function; None where its module has no such name.

    >>> import_of(find_part("solvers", "palora"))
    'from moframework.solvers.palora import PaLoRA'
    """
    found = _made_from(part)
    module, name = inspect.getmodule(found), getattr(found, "__name__", "")
    if module is None or getattr(module, name, None) is not found:
        return None
    return f"from {module.__name__} import {name}"


def source_of(part: Any) -> str:
    """The file that defines a class or a function, as a path that begins with its package."""
    module = inspect.getmodule(_made_from(part))
    file = getattr(module, "__file__", None)
    return "unknown" if module is None or file is None else f"{module.__name__.replace('.', '/')}{Path(file).suffix}"


def _made_from(part: Any) -> Any:
    """The class or function that a spec's part stands for: itself, or what it calls."""
    found = getattr(part, "function", part) if not options_of(part) and hasattr(part, "function") else part
    return getattr(found, "target", found)
