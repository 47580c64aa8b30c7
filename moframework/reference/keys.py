"""The keys of specs: those of a run, and those of a benchmark, each with its default and help."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moframework.benchmark.spec import Benchmark
from moframework.config import Component
from moframework.config.fields import Option, options_of
from moframework.reference.docstrings import escaped, markdown
from moframework.reference.entry import Entry, Page, anchor
from moframework.reference.options import nested, option_text
from moframework.reference.parts import interface_of, takes
from moframework.spec.spec import Spec
from moframework.tuning.spec import Contest, Study

__all__ = ["benchmark_page", "keys", "spec_page", "study_page"]

_SPEC = """What the spec of a run can say. Only `problem` and `solver` have to be given. `moframework check SPEC` tells
what a spec comes to, `moframework schema` prints this as JSON Schema for editors, and `--set KEY=VALUE` replaces one
value. Two more keys are no options: `extends: other.yaml` starts from another spec, or from several, and `python:`
names code of your own in place of a part."""

_BENCHMARK = """What the spec of a benchmark can say: `moframework benchmark SPEC`. `training` and `evaluate` have the
keys that they have in [the spec of a run](spec.md)."""

_STUDY = """What `moframework tune SPEC` reads beside the keys of [a run](spec.md) or of [a benchmark](benchmark.md)."""


def spec_page() -> Page:
    """The page of all keys of a run's spec; of a problem those that every problem takes, or that declare one."""
    page = "spec"
    entries = [*_entries(Spec, "", page, ()), *_problem(page)]
    return Page(page, "The spec of a run", _SPEC, tuple(sorted(entries, key=_order)))


def benchmark_page() -> Page:
    """The page of all keys of a benchmark's spec."""
    entries = _entries(Benchmark, "", "benchmark", ("training", "evaluate"))
    return Page("benchmark", "The spec of a benchmark", _BENCHMARK, tuple(entries))


def study_page() -> Page:
    """The page of the keys that say what is tuned, of a run and of a benchmark."""
    page, found = "study", dict[str, Entry]()
    for cls in (Study, Contest):
        for entry in _entries(cls, "", page, ("training", "evaluate")):
            if entry.name.split(".")[0] == "tune":
                found.setdefault(entry.name, entry)
    return Page(page, "The spec of a study", _STUDY, tuple(found.values()))


def keys(cls: Any, prefix: str = "", leave: tuple[str, ...] = ()) -> Iterator[tuple[str, Option]]:
    """All options of a config class and of the config classes in it, with their dotted keys; parts are not entered.

    Args:
        leave: keys that are not entered.

    >>> from moframework.engine.settings import EarlyStopping
    >>> [key for key, _ in keys(EarlyStopping, "training.early_stopping.")]
    ['training.early_stopping.patience', 'training.early_stopping.min_delta']
    """
    for option in options_of(cls):
        yield prefix + option.key, option
        for between, inner in nested(option.type) if option.key not in leave else ():
            yield from keys(inner, f"{prefix}{option.key}{between}.", leave)


def _order(entry: Entry) -> tuple[int, str]:
    """Keys of one section stand together, in the order of the root's options."""
    roots = [option.key for option in options_of(Spec)]
    return roots.index(entry.name.split(".")[0]), ""


def _problem(page: str) -> Iterator[Entry]:
    """Keys of `problem` that no single part has: what may be exchanged, and what declares one."""
    interface = interface_of("problems")
    seen: set[str] = set()
    for cls in (interface.overrides, interface.unnamed):
        if cls is not None:
            for entry in _entries(cls, "problem.", page, ()):
                if entry.name not in seen:
                    seen.add(entry.name)
                    yield entry


def _entries(cls: Any, prefix: str, page: str, leave: tuple[str, ...]) -> Iterator[Entry]:
    for key, option in keys(cls, prefix, leave):
        text = option_text(option)
        body = [f"{escaped(text.help[:1].upper() + text.help[1:])}.", f"Takes {takes(text)}."]
        body += [_about(inner) for _, inner in nested(option.type)]
        if text.kinds:
            body.append("Parts: " + ", ".join(f"[{kind}](parts/{kind}.md)" for kind in text.kinds) + ".")
        depth = 2 if "." not in key else 3
        yield Entry(key, page, anchor("key", page, key), f"`{key}`", "\n\n".join(body), depth)


def _about(cls: type) -> str:
    return "" if issubclass(cls, Component) else markdown(cls.__doc__)
