"""Errors: each class, and the texts that the code raises it with."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

from moframework import errors
from moframework.config import OptionError
from moframework.errors import MoframeworkError
from moframework.reference.docstrings import escaped, markdown
from moframework.reference.entry import Entry, Page, anchor

__all__ = ["error_classes", "errors_page", "messages", "template"]

_PAGE = "errors"
_FEWEST = 3
"""Words of a text from which it says something by itself."""


def errors_page() -> Page:
    """The page of all errors: classes, and their texts with `…` for what they name."""
    text = (
        "Every error that is raised on purpose derives from `MoframeworkError`, and its text says what to do. The "
        "command line prints it without a traceback and ends with 1, or with 2 where a spec or the usage is wrong. "
        "Below each class stand its texts, with `…` for what they name, to be searched for. What a run notes, and what "
        "to do about it, stands under [troubleshooting](../troubleshooting.md)."
    )
    return Page(_PAGE, "Errors", text, tuple(_entry(cls) for cls in error_classes()))


def error_classes() -> tuple[type[Exception], ...]:
    """The classes of errors a user can meet, the root first."""
    found = [getattr(errors, name) for name in errors.__all__]
    classes = [one for one in found if isinstance(one, type) and issubclass(one, MoframeworkError)]
    return (MoframeworkError, *sorted({*classes} - {MoframeworkError}, key=lambda cls: cls.__name__), OptionError)


def _entry(cls: type[Exception]) -> Entry:
    told = [markdown(cls.__doc__), f"```python\nfrom {cls.__module__} import {cls.__name__}\n```"]
    lines = [f"- {escaped(text)} (`{module}`)" for text, module in messages().get(cls.__name__, ())]
    told += ["**Texts**", "\n".join(lines)] if lines else []
    return Entry(cls.__name__, _PAGE, anchor("error", cls.__name__), f"`{cls.__name__}`", "\n\n".join(told))


@functools.cache
def messages() -> dict[str, tuple[tuple[str, str], ...]]:
    """By name of the class: each text that the code raises, and the module that does, sorted."""
    found: dict[str, set[tuple[str, str]]] = {}
    for module, tree in _modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                text = template(node.exc.args[0])
                if len(text.replace("…", " ").split()) >= _FEWEST:
                    found.setdefault(ast.unparse(node.exc.func).split(".")[-1], set()).add((text, module))
    return {name: tuple(sorted(texts)) for name, texts in found.items()}


def template(node: ast.expr) -> str:
    """A text as the source has it, with `…` for what is put in.

    >>> template(ast.parse("f'no {kind} called {name!r}' + hint", mode="eval").body)
    'no … called ……'
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return " ".join(node.value.split(" "))
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return template(node.left) + template(node.right)
    return "…"


def _modules() -> Iterator[tuple[str, ast.Module]]:
    """The modules of the package, and the zoo beside it, as syntax."""
    for package in map(importlib.import_module, ("moframework", "moframework.problems")):
        folder = Path(inspect.getfile(package)).parent
        for path in sorted(folder.rglob("*.py")):
            name = ".".join([package.__name__, *path.relative_to(folder).with_suffix("").parts])
            yield name.removesuffix(".__init__"), ast.parse(path.read_bytes())
