"""What a spec can name, with one line about each: read from the source text, so that listing imports no plug-in."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import cast

from attrs import frozen

from moframework.config import Component, Entry, entries, kinds
from moframework.errors import MoframeworkError, UnknownNameError, nearest

__all__ = ["KINDS", "PACKAGE_KINDS", "SHARED", "Part", "all_kinds", "parts", "shared_keys", "summary"]

KINDS = {
    "augmentations": "random changes of training batches",
    "backbones": "networks from input to one output a task",
    "balancings": "how losses or gradients of different size are made comparable",
    "collates": "how single samples become a batch",
    "data": "where samples come from",
    "executors": "what runs the cells of a benchmark",
    "functions": "what a problem `black_box` minimizes: values at a point, and nothing else",
    "loggers": "who is told of a training: its numbers, pictures and model",
    "losses": "what a task minimizes",
    "lr_schedules": "how learning rates change: torch's schedulers",
    "merges": "how networks that were trained apart become one at each preference",
    "metrics": "what a task is judged by",
    "objectives": "how the losses of all preferences become one number to descend",
    "optimizers": "how weights are stepped: torch's optimizers, and pytorch-optimizer's",
    "problems": "tasks, network and data, ready to solve",
    "readers": "what makes inputs of raw data when a model is used",
    "schedules": "how preferences are drawn during training",
    "solvers": "methods that learn a front",
    "torchjd_methods": "TorchJD's aggregators, for the objective torchjd",
    "weights": "maps from a preference to the weights of the network",
}

# Their names come from an installed package rather than from entry points: the interface, and the package.
PACKAGE_KINDS = {
    "lr_schedules": ("moframework.optim.schedules:LRSchedule", "torch"),
    "optimizers": ("moframework.optim.optimizers:Optimizer", "torch"),
    "torchjd_methods": ("moframework.objectives.torchjd_by_name:TorchJDMethod", "torchjd"),
}

# Classes whose options a spec may set beside those of any part of a kind.
SHARED = {
    "backbones": "moframework.backbones.base:BackboneOverrides",
    "problems": "moframework.problem.declared:ProblemOverrides",
}


@frozen
class Part:
    """One thing a spec can name: its name, the first line of its documentation, and the package that brought it."""

    name: str
    summary: str
    package: str


def all_kinds() -> tuple[str, ...]:
    """All kinds of parts, sorted: those with entries, and those of other packages. Imports nothing."""
    return tuple(sorted({*kinds(), *PACKAGE_KINDS}))


def parts(kind: str) -> tuple[Part, ...]:
    """All parts of a kind, sorted by name.

    Kinds of torch, pytorch-optimizer and TorchJD import these; of the others only what cannot be read from source is
    imported.

    Raises:
        UnknownNameError: there is no such kind; the text names the nearest and all.
        MoframeworkError: the package that brings the names is not installed; the text says what installs it.
    """
    if kind not in all_kinds():
        guess = nearest(kind, all_kinds())
        hint = f"; did you mean '{guess}'?" if guess else "."
        raise UnknownNameError(f"there is no kind '{kind}'{hint} Kinds: {', '.join(all_kinds())}")
    found = (
        [Part(entry.name, _summary_of_entry(entry), entry.package) for entry in entries(kind)]
        if kind in kinds()
        else []
    )
    if kind in PACKAGE_KINDS:
        target, package = PACKAGE_KINDS[kind]
        module, _, name = target.partition(":")
        interface = cast(type[Component], getattr(importlib.import_module(module), name))
        absent = interface.unavailable()
        if absent is not None:
            raise MoframeworkError(absent)
        named = {name: interface.lookup(name) for name in interface.names()}
        found += [
            Part(name, _first_sentence(part.__doc__), getattr(part, "package", package)) for name, part in named.items()
        ]
    return tuple(sorted(found, key=lambda part: part.name))


def shared_keys(kind: str) -> dict[str, str]:
    """What every part of a kind takes beside its own options: key and help, in order. Imports nothing.

    >>> list(shared_keys("backbones")), shared_keys("losses")
    (['weights', 'freeze', 'call'], {})
    """
    if kind not in SHARED:
        return {}
    module, _, name = SHARED[kind].partition(":")
    path = _source(module)
    assert path is not None, f"{module} is ours"
    body = next(n.body for n in ast.parse(path.read_bytes()).body if isinstance(n, ast.ClassDef) and n.name == name)
    return {
        field.target.id: next(ast.literal_eval(given.value) for given in field.value.keywords if given.arg == "help")
        for field in body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(field.value, ast.Call)
    }


def summary(target: str) -> str | None:
    """The first sentence of the docstring of `target` ("module:name"), from its source and without importing it.

    Follows one kind of detour: a name that the module imports from elsewhere. None when the source cannot be found or
    does not define the name.

    >>> summary("moframework.errors:SpecError")
    'A spec, or options given from Python, cannot be used.'
    """
    module, _, name = target.partition(":")
    for _ in range(5):  # a name handed on through more modules than this is left to a real import
        path = _source(module)
        if path is None:
            return None
        tree = ast.parse(path.read_bytes())
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
                return _first_sentence(ast.get_docstring(node))
        detour = _imported_from(tree, module, path, name)
        if detour is None:
            return None
        module, name = detour
    return None


def _summary_of_entry(entry: Entry) -> str:
    try:
        found = summary(entry.target)
        return _first_sentence(inspect.getdoc(entry.load())) if found is None else found
    except MoframeworkError as error:
        return f"(broken: {error})"
    except Exception as error:  # whatever a plug-in's module does when imported; the others are listed all the same
        return f"(broken: {entry.target}: {type(error).__name__}: {error})"


def _source(module: str) -> Path | None:
    """The source file of a module, found step by step from its top package; nothing is imported on the way."""
    path: list[str] | None = None
    name, spec = "", None
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        specs = (finder.find_spec(name, path) for finder in sys.meta_path)
        spec = next((found for found in specs if found is not None), None)
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or ())
    return Path(spec.origin) if spec is not None and spec.origin is not None and spec.origin.endswith(".py") else None


def _imported_from(tree: ast.Module, module: str, path: Path, name: str) -> tuple[str, str] | None:
    """Where `name` comes from when the module says `from x import name`: (module, name there)."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in tree.body:
        if not isinstance(node, ast.ImportFrom):
            continue
        for alias in node.names:
            if (alias.asname or alias.name) == name:
                base = package[: len(package) - node.level + 1] if node.level else []
                return ".".join([*base, *([node.module] if node.module else [])]), alias.name
    return None


def _first_sentence(text: str | None) -> str:
    """The first sentence of a docstring, without its line breaks; a full stop after "al", "e.g" and such ends none."""
    paragraph = " ".join((text or "").strip().split("\n\n")[0].split())
    ends = (
        match.start()
        for match in re.finditer(r"(?<!\bal)(?<!\be\.g)(?<!\bi\.e)(?<!\bvs)[.:](?=\s+[A-Z`]|$)", paragraph)
    )
    end = next(ends, len(paragraph))
    return paragraph[:end] + "." if paragraph else ""
