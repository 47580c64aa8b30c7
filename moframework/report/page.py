"""Runs as one HTML page that needs no network: style, code and data lie in it, and it may load nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from string import Template
from typing import Any

from moframework.io.atomic import write_text
from moframework.report.collecting import as_plain, collect

__all__ = ["document", "page", "write_page"]

_STATIC = Path(__file__).parent / "static"
_SCRIPTS = (
    *("base", "numbers", "marks", "axes", "front", "space", "parallel"),
    *("course", "maps", "dial", "bounds", "tables", "main"),
)
"""Files of the page's code, in the order in which they run."""


def page(runs: Sequence[Path | str], *, title: str | None = None, names: Sequence[str] | None = None) -> str:
    """The page of one or more finished runs of the same tasks, as HTML.

    Nothing that the runs name is imported or executed, and every name in them is shown as text.

    Args:
        runs: their folders; each is told by the end of its path.
        title: of the page; by default the names of the runs.
        names: what each is told by instead.

    Raises:
        RunError: one is no run, has not finished, is damaged, or has other tasks than the first.

    Example::

        Path("report.html").write_text(page(["runs/quickstart", "runs/stl"]), encoding="utf-8")
    """
    shown = collect(runs, names)
    names = [one.name for one in shown]
    if title is None:
        title = ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} more runs"
    data = as_plain(shown) | {"title": title, "version": metadata.version("moframework")}
    script = "\n".join((_STATIC / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}\n}})();\n'
    style = (_STATIC / "page.css").read_text(encoding="utf-8")
    return Template((_STATIC / "page.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{_digest(script)}'",
        style=style,
        script=script,
        data=_embedded(data),
        version=html.escape(data["version"]),
    )


def document(title: str, body: str) -> str:
    """A page of text and pictures in the look of the reports, as HTML. It has no code, and may load nothing.

    Args:
        title: plain text.
        body: HTML; pictures lie in it as `data:` addresses.

    >>> "<h2>Fronts</h2>" in document("quick", "<h2>Fronts</h2>")
    True
    """
    style = (_STATIC / "page.css").read_text(encoding="utf-8")
    return Template((_STATIC / "document.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(title), style=style, body=body, version=html.escape(metadata.version("moframework"))
    )


def write_page(runs: Sequence[Path | str], path: Path, *, title: str | None = None) -> None:
    """Write `page` to a file, whole or not at all. Errors as of `page`; `OSError` where it cannot be written."""
    write_text(path, page(runs, title=title))


def _embedded(data: Any) -> str:
    """JSON that can stand in a script element: nothing in it ends the element, whatever the names in it."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _digest(script: str) -> str:
    """What a content security policy knows a script by: no other one runs."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
