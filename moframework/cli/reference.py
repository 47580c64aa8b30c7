"""Commands that say what there is: `list` what a spec can name, `docs` what the reference has on a name."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from moframework.errors import UnknownNameError

if TYPE_CHECKING:
    from moframework.reference.entry import Entry

__all__ = ["COMMANDS"]

SITE = "MOFRAMEWORK_DOCS"
"""Environment variable: the site, as an address or as the folder of a built one."""

_DOCS = Path(__file__).parents[2] / "docs"


@click.command("list")
@click.argument("kind", metavar="[KIND]", required=False)
@click.argument("name", metavar="[NAME]", required=False)
def list_(kind: str | None, name: str | None) -> None:
    """List what a spec can name.

    Without KIND the kinds of parts; with it all parts of that kind, the package that brought each, and the keys that
    all of them take; with NAME too, the options of that part, each with its default and what it means.
    """
    if kind is None:
        _list_kinds()
    elif name is None:
        _list_parts(kind)
    else:
        _list_options(kind, name)


def _list_kinds() -> None:
    from moframework.cli.tables import output, table
    from moframework.config import entries
    from moframework.reference.catalog import KINDS, PACKAGE_KINDS, all_kinds

    rows = table(("kind", "what it is", "names"))
    for each in all_kinds():
        names = f"{PACKAGE_KINDS[each][1]}'s own" if each in PACKAGE_KINDS else str(len(entries(each)))
        rows.add_row(each, KINDS.get(each, ""), names)
    output().print(rows)
    click.echo("The names of one kind: moframework list KIND")
    click.echo("The options of one of them: moframework list KIND NAME")


def _list_parts(kind: str) -> None:
    from moframework.cli.tables import output, table
    from moframework.reference.catalog import parts, shared_keys

    rows = table(("name", "what it is", "package"))
    for part in parts(kind):
        rows.add_row(part.name, part.summary, part.package)
    output().print(rows)
    shared = shared_keys(kind)
    if shared:
        rows = table((f"key of all {kind}", "what it is"))
        for key, text in shared.items():
            rows.add_row(key, text)
        output().print(rows)


def _list_options(kind: str, name: str) -> None:
    from moframework.cli.tables import output, table
    from moframework.reference.catalog import parts, shared_keys
    from moframework.reference.options import option_texts
    from moframework.reference.parts import find_part

    found = find_part(kind, name)
    click.echo(next(part.summary for part in parts(kind) if part.name == name))
    rows = table(("option", "default", "what it may be", "what it is"))
    for one in option_texts(found):
        rows.add_row(one.key, "(required)" if one.default is None else one.default, one.takes, one.help)
    if rows.row_count:
        output().print(rows)
    else:
        click.echo("It has no options.")
    shared = shared_keys(kind)
    if shared:
        click.echo(f"Keys of all {kind}: {', '.join(shared)} (`moframework list {kind}`)")
    click.echo(f"More: moframework docs {kind}/{name}")


@click.command()
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--text", is_flag=True, help="Print it here, also where a site and a browser are there.")
def docs(name: str | None, text: bool) -> None:
    """Open the documentation of a name.

    NAME is a part (palora, or solvers/palora), a public name of the package (Front, Front.select), a key of a spec
    (training.epochs), a command, an error, or a page of the site (troubleshooting); without it the site is opened.

    The site is what the environment variable MOFRAMEWORK_DOCS names, an address or the folder of a built one, or what
    was built in this checkout (docs/_build/html). Where there is none, or no terminal or browser, what the reference
    has on the name is printed, as Markdown where it goes to a program.
    """
    from moframework.reference.pages import find, index

    group = click.get_current_context().find_root().command
    assert isinstance(group, click.Group), "the root has the commands"
    found: tuple[Entry, ...] = ()
    address, told = "index.html", index().markdown().partition("```{toctree}")[0]
    page = _DOCS / f"{name}.md"
    further = [f"{name}.html"] if name is not None and "/" not in name and page.is_file() else []
    if name is not None:
        try:
            found = find(name, group, [path.stem for path in _DOCS.glob("*.md")])
        except UnknownNameError:
            if not further:
                raise
            address, told = further.pop(), page.read_text(encoding="utf-8")
        else:
            address, told = _address(found[0]), _together(found)
    site = _site() if _on_terminal() and not text else None
    if site is not None and _opened(f"{site}/{address}"):
        click.echo(f"{site}/{address}")
        for other in (*map(_address, found[1:]), *further):
            click.echo(f"also: {site}/{other}")
        return
    _print(told)


def _together(found: tuple[Entry, ...]) -> str:
    """What stands in entries; of several, below their whole names."""
    if len(found) == 1:
        return found[0].markdown()
    return "\n".join(f"# {entry.name}\n\n{entry.body.strip()}\n" for entry in found)


def _on_terminal() -> bool:
    return sys.stdout.isatty()


def _address(entry: Entry) -> str:
    return f"reference/{entry.page}.html#{entry.anchor}"


def _site() -> str | None:
    """Where the site is: an address without a slash at its end; None where there is none."""
    given = os.environ.get(SITE)
    if given and "://" in given:
        return given.rstrip("/")
    folder = Path(given).expanduser() if given else _DOCS / "_build" / "html"
    if (folder / "index.html").is_file():
        return folder.absolute().as_uri()
    if given:
        raise click.UsageError(f"{SITE} names {given}, but there is no site: no index.html is in this folder")
    return None


def _opened(address: str) -> bool:
    """Whether a browser has opened an address."""
    import webbrowser

    try:
        return webbrowser.open(address)
    except webbrowser.Error:
        return False


def _print(text: str) -> None:
    """Markdown: laid out on a terminal, else as it is."""
    if not _on_terminal():
        click.echo(text.rstrip())
        return
    from rich.markdown import Markdown

    from moframework.cli.tables import output

    output().print(Markdown(text))


COMMANDS = (docs, list_)
"""All of them."""
