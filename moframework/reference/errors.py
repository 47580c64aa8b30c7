"""Errors: each class, and the texts that the code raises it with."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import frozen

from moframework import errors
from moframework.config import OptionError
from moframework.errors import MoframeworkError
from moframework.reference.docstrings import escaped, markdown
from moframework.reference.entry import Entry, Page, anchor

__all__ = ["GROUPS", "Text", "error_classes", "errors_page", "group_of", "messages", "template"]

_PAGE = "errors"
_FEWEST = 3
"""Words of a text from which it says something by itself."""
_MOST = 9
"""Words of a text that its anchor has."""


GROUPS: Mapping[str, tuple[str, ...]] = {
    "Writing a spec": ("spec", "config", "cli", "reference"),
    "Reading data": ("data",),
    "Tasks, inputs, problems of your own": ("problem", "inputs", "losses", "metrics", "augmentations"),
    "Problems by name": ("problems",),
    "Networks": ("backbones",),
    "Weights and models": ("layers", "model", "weights"),
    "Solvers, objectives, optimizers": ("solvers", "objectives", "preferences", "optim"),
    "Members and merges": ("merging",),
    "Training": ("engine", "nonfinite", "loggers", "memory", "seeding", "run.plan", "run.rehearsal", "run.solving"),
    "Several processes and devices": ("processes", "engine.distributed", "engine.device"),
    "Run folders and files": ("io", "run", "engine.checkpoint"),
    "Searching a black box": ("blackbox", "run.searching", "run.search_plan", "run.search_history"),
    "Evaluating, picking, reporting": (
        *("pareto", "report", "run.evaluating", "run.picking", "run.reference", "run.labels", "run.splits"),
        *("run.constraining", "run.feasible", "run.held_out", "run.simplex_search"),
    ),
    "Predicting": ("predicting", "run.predicting"),
    "Exporting and serving": ("export", "serve", "run.exporting"),
    "Benchmarks and tuning": ("benchmark", "tuning"),
}
"""What one was doing when an error came, and the packages and modules that raise then; the longest name counts."""


def errors_page() -> Page:
    """The page of all errors: classes, and the texts by what one was doing, with `…` for what they name."""
    groups = tuple(_group_entry(title) for title in GROUPS if _texts_of(title))
    links = "\n".join(f"- [{entry.title}](#{entry.anchor})" for entry in groups)
    text = (
        "Every error that is raised on purpose derives from `MoframeworkError`, and its text says what to do. The "
        "command line prints it without a traceback and ends with 1, or with 2 where a spec or the usage is wrong. "
        "After the classes stand the texts, with `…` for what they name, by what one was doing. Each has an address "
        "of its own, the `#` behind it. What a run notes, and what to do about it, stands under "
        f"[troubleshooting](../troubleshooting.md).\n\n{links}"
    )
    return Page(_PAGE, "Errors", text, (*(_entry(cls) for cls in error_classes()), *groups))


def error_classes() -> tuple[type[Exception], ...]:
    """The classes of errors a user can meet, the root first."""
    found = [getattr(errors, name) for name in errors.__all__]
    classes = [one for one in found if isinstance(one, type) and issubclass(one, MoframeworkError)]
    return (MoframeworkError, *sorted({*classes} - {MoframeworkError}, key=lambda cls: cls.__name__), OptionError)


def _entry(cls: type[Exception]) -> Entry:
    told = [markdown(cls.__doc__), f"```python\nfrom {cls.__module__} import {cls.__name__}\n```"]
    counts = {title: sum(text.error == cls.__name__ for text in _texts_of(title)) for title in GROUPS}
    links = [f"[{title}](#{_anchor_of(title)}) ({count})" for title, count in counts.items() if count]
    told += [f"**Texts** {', '.join(links)}"] if links else []
    return Entry(cls.__name__, _PAGE, anchor("error", cls.__name__), f"`{cls.__name__}`", "\n\n".join(told))


def _anchor_of(title: str) -> str:
    return anchor("errors", title)


def _group_entry(title: str) -> Entry:
    told = []
    for error, texts in itertools.groupby(_texts_of(title), key=lambda text: text.error):
        lines = [f"- ({text.anchor})=\n  {escaped(text.text)} (`{text.module}`) [#](#{text.anchor})" for text in texts]
        told += [f"**`{error}`**", "\n".join(lines)]
    return Entry(f"errors/{title}", _PAGE, _anchor_of(title), title, "\n\n".join(told))


@frozen
class Text:
    """A text that the code raises: the class, the module that does, and its anchor on the page."""

    error: str
    text: str
    module: str
    anchor: str


@functools.cache
def _all_texts() -> tuple[Text, ...]:
    """Every text of the classes on the page, sorted by class.

    An anchor is made of the first words, and numbered where they are not enough.
    """
    found: list[Text] = []
    seen: Counter[str] = Counter()
    known = {cls.__name__ for cls in error_classes()}
    for error, texts in sorted(messages().items()):
        for text, module in texts if error in known else ():
            words = re.findall(r"[A-Za-z0-9_]+", text)[:_MOST]
            name = anchor("text", *words)
            seen[name] += 1
            found.append(Text(error, text, module, name if seen[name] == 1 else f"{name}-{seen[name]}"))
    return tuple(found)


@functools.cache
def _texts_of(title: str) -> tuple[Text, ...]:
    return tuple(text for text in _all_texts() if group_of(text.module) == title)


def group_of(module: str) -> str:
    """What one was doing when a module raised.

    >>> group_of("moframework.run.picking"), group_of("moframework.run.run")
    ('Evaluating, picking, reporting', 'Run folders and files')

    Raises:
        LookupError: `GROUPS` has no place for it.
    """
    name = module.removeprefix("moframework.")
    places = {place: title for title, group in GROUPS.items() for place in group}
    fitting = [place for place in places if name == place or name.startswith(f"{place}.")]
    if not fitting:
        raise LookupError(f"say in GROUPS of {__name__} where the errors of {module} belong")
    return places[max(fitting, key=len)]


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
