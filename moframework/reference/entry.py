"""An entry of the reference, and a page of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

__all__ = ["Entry", "Page", "anchor"]


@frozen
class Entry:
    """What is said of one thing.

    Attributes:
        name: what one asks for it by: `Front.select`, `solvers/palora`, `training.epochs`, `moframework pick`.
        page: where it stands, a path below the folder of the reference, without its ending.
        anchor: of its heading on that page.
        title: of the heading, in Markdown.
        body: below the heading, in Markdown without headings.
        depth: of the heading; 1 where the page is about this alone.
    """

    name: str
    page: str
    anchor: str
    title: str
    body: str
    depth: int = 2

    def markdown(self) -> str:
        """Heading and body."""
        return f"{'#' * self.depth} {self.title}\n\n{self.body.strip()}\n"


@frozen
class Page:
    """A page of the reference: what it is about, and its entries in order.

    Attributes:
        path: below the folder of the reference, without its ending.
        title: its first heading; empty where the first entry has it.
        introduction: Markdown below that heading.
        below: further pages that the navigation has under this one.
    """

    path: str
    title: str
    introduction: str
    entries: tuple[Entry, ...] = ()
    below: tuple[str, ...] = ()

    def markdown(self) -> str:
        """The page as MyST reads it: Markdown, with a target before each heading, and what is below it."""
        return "\n".join(self._blocks())

    def _blocks(self) -> Iterator[str]:
        if self.title:
            yield f"# {self.title}\n"
        if self.introduction:
            yield f"{self.introduction.strip()}\n"
        for entry in self.entries:
            yield f"({entry.anchor})=\n{entry.markdown()}"
        if self.below:
            yield "\n".join(["```{toctree}", ":hidden:", "", *(f"/reference/{path}" for path in self.below), "```", ""])


def anchor(*words: str) -> str:
    """The anchor of a heading, as it stands in the address of a page.

    >>> anchor("part", "metrics", "mean_angle"), anchor("key", "training.optimizer")
    ('part-metrics-mean-angle', 'key-training-optimizer')
    """
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")
