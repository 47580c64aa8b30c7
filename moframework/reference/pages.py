"""The whole reference: its pages, and how an entry is found by name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import click

from moframework.config import entries, kinds
from moframework.errors import MoframeworkError, UnknownNameError, nearest
from moframework.reference.catalog import KINDS, PACKAGE_KINDS, all_kinds
from moframework.reference.commands import command_page
from moframework.reference.entry import Entry, Page
from moframework.reference.errors import error_classes, errors_page
from moframework.reference.files import files_page
from moframework.reference.importing import BESIDE, PUBLIC
from moframework.reference.keys import benchmark_page, spec_page, study_page
from moframework.reference.names import beside_page, name_page, names_page
from moframework.reference.parts import interface_of, kind_page, part_entry

__all__ = ["find", "index", "pages", "write"]


def pages(group: click.Group) -> Iterator[Page]:
    """All pages of the reference.

    Args:
        group: the commands.
    """
    yield index()
    yield names_page()
    yield from (name_page(name) for name in PUBLIC)
    yield beside_page()
    yield _kinds()
    yield from (kind_page(kind) for kind in all_kinds())
    yield from (make() for make in _single(group).values())


def write(folder: Path, made: Iterable[Page]) -> list[Path]:
    """Write pages below a folder, where Sphinx reads them; a file that has its text already is left alone.

    Returns:
        the files, those that are no longer made having been removed.
    """
    written = []
    for page in made:
        path = folder / f"{page.path}.md"
        text = page.markdown()
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
        written.append(path)
    for path in {*folder.rglob("*.md")} - {*written}:
        path.unlink()
    return written


def find(name: str, group: click.Group, pages: Iterable[str] = ()) -> tuple[Entry, ...]:
    """The entries that a name means: `Front`, `Front.select`, `palora`, `solvers/palora`, `training.epochs`, `pick`,
    `SpecError`, `front` (a command, and a file of results). Only the pages that may have it are made.

    Args:
        group: the commands.
        pages: further names that may have been meant.

    Raises:
        UnknownNameError: there is none; the text proposes the nearest.
    """
    wanted = name.removeprefix("moframework.").removeprefix("moframework ").strip()
    found = [*_public(wanted), *_parts(wanted, kinds())]
    for path, make in _single(group).items():
        if path != "errors" or wanted in {cls.__name__ for cls in error_classes()}:  # that page reads all of the code
            found += [entry for entry in make().entries if wanted in _names(entry)]
    if not found:
        found += _parts(wanted, tuple(PACKAGE_KINDS))
    if not found:
        raise _nothing(name, wanted, [*_known(group), *pages])
    return tuple(found)


def _nothing(name: str, wanted: str, known: Sequence[str]) -> UnknownNameError:
    """What is said of a name that nothing has: the nearest one, and how to list what there is."""
    kind, _, part = wanted.replace(" ", "/", 1).partition("/")
    homes = [one for one in all_kinds() if part in _part_names(one)]
    home = kind if kind in all_kinds() else homes[0] if homes else nearest(kind, all_kinds())
    if part and home is not None:
        near = nearest(part, _part_names(home))
        if near is None and homes:
            home, near = homes[0], part
        guess = None if near is None else f"{home}/{near}"
        how = f"all {home}: `moframework list {home}`"
    else:
        # Names of classes are told by their capitals.
        classes = [one for one in known if wanted[:1].isupper() and one[:1].isupper()]
        guess = nearest(wanted, classes) or nearest(wanted, known)
        how = (
            "a name is that of a part (`moframework list`), a public name of the package, a key of a spec, a command, "
            "an error, a file of results, or a page of the site"
        )
    hint = f" did you mean '{guess}'?" if guess else ""
    return UnknownNameError(f"nothing is called '{name}':{hint} {how}")


def _single(group: click.Group) -> Mapping[str, Callable[[], Page]]:
    """The pages that stand for themselves, by path."""
    return {
        "spec": spec_page,
        "benchmark": benchmark_page,
        "study": study_page,
        "commands": functools.partial(command_page, group),
        "files": files_page,
        "errors": errors_page,
    }


def _names(entry: Entry) -> set[str]:
    """What an entry of these pages is asked for by."""
    name = entry.name
    return {name, name.removeprefix("moframework "), name.removeprefix("files/")}


def _public(wanted: str) -> Iterator[Entry]:
    head, _, _ = wanted.partition(".")
    if head in PUBLIC or head in BESIDE:
        page = name_page(head) if head in PUBLIC else beside_page()
        yield from (entry for entry in page.entries if entry.name == wanted)


def _parts(wanted: str, among: tuple[str, ...]) -> Iterator[Entry]:
    """Those of the kinds `among`."""
    kind, _, part = wanted.replace(" ", "/", 1).partition("/")
    for one in among:
        if part and one != kind:
            continue
        if (part or wanted) in _part_names(one):
            yield part_entry(one, part or wanted)


def _part_names(kind: str) -> tuple[str, ...]:
    if kind in kinds():
        return tuple(entry.name for entry in entries(kind))
    try:
        return interface_of(kind).names()
    except MoframeworkError:  # the package that has the names is not installed
        return ()


def _known(group: click.Group) -> list[str]:
    found = [*PUBLIC, *BESIDE, *(name for kind in all_kinds() for name in _part_names(kind))]
    for path, make in _single(group).items():
        found += [name for entry in make().entries for name in _names(entry)] if path != "errors" else []
    return found


def index() -> Page:
    """The first page, which says what the others are about."""
    text = """Made from the code of this version: whatever is named here is there, with its default and its help.

- [The spec of a run](spec.md): every key; [of a benchmark](benchmark.md) and [of a study](study.md) likewise.
- [Parts](parts.md): everything that a spec can name, by kind.
- [Commands](commands.md): every command and option.
- [Python](python.md): every public name.
- [Errors](errors.md): classes and texts.
- [Files of results](files.md): every key of the JSON files that runs leave.

In a terminal: `moframework list KIND NAME` shows the options of a part, `moframework docs NAME` what stands here."""
    return Page(
        "index",
        "Reference",
        text,
        below=("spec", "parts", "commands", "python", "benchmark", "study", "errors", "files"),
    )


def _kinds() -> Page:
    lines = [f"- [{kind}](parts/{kind}.md): {KINDS.get(kind, '')}" for kind in all_kinds()]
    return Page("parts", "Parts", "\n".join(lines), below=tuple(f"parts/{kind}" for kind in all_kinds()))
