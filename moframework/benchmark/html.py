"""The results as HTML: the page of `markdown` with its pictures inside, and a page a problem to look around in."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

from moframework.benchmark.figure import typical_seed
from moframework.benchmark.results import Group
from moframework.errors import RunError
from moframework.report.page import document, page

__all__ = ["problem_page", "to_html"]


def to_html(title: str, markdown: str, folder: Path, links: Mapping[str, str]) -> str:
    """A results page as HTML that needs no network.

    Args:
        title: of the page.
        markdown: the page as `to_markdown` makes it. HTML in it, as labels might have it, is shown and not used.
        folder: where its pictures lie, which become part of the page.
        links: files of the pages of problems by problem, beside the page.
    """
    text = markdown.partition("\n")[2]  # without the note to editors
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    for token in _all(tokens):
        if token.type == "image":
            token.attrs["src"] = _embedded(folder / unquote(str(token.attrs["src"])))
    body = parser.renderer.render(tokens, parser.options, {})
    body = body.replace("<table>", '<div class="scroll low"><table>').replace("</table>", "</table></div>")
    if links:
        listed = "".join(f"- [{problem}](<{name}>)\n" for problem, name in links.items())
        body += parser.render(
            f"## To look around in\n\nOne seed of each contender, the one nearest to its mean:\n\n{listed}"
        )
    return document(title, body)


def problem_page(group: Group) -> str | None:
    """The fronts of one problem's contenders as a page of `moframework report`: of each the seed that is nearest to its
    mean. None where none is finished, or their folders lack what such a page shows."""
    chosen = {}
    for row in group.rows:
        done = [one for one in row.done if one.cell is not None and one.front is not None]
        if done:
            seed = done[typical_seed([one.front for one in done if one.front is not None])]
            if seed.cell is not None:
                chosen[f"{row.solver}, seed {seed.seed}"] = seed.cell.folder
    folders = list(dict.fromkeys(chosen.values()))
    if not folders:
        return None
    names = [next(name for name, folder in chosen.items() if folder == one) for one in folders]
    with contextlib.suppress(RunError):
        return page(folders, title=group.problem, names=names)
    return None


def _all(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _all(token.children or [])


def _embedded(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
