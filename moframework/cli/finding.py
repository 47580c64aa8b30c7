"""One thing that `moframework doctor` looked at."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Finding"]


@frozen
class Finding:
    """One thing that was looked at.

    Attributes:
        what: was looked at.
        found: what was found, in words.
        problem: what is wrong and the next step; None where nothing is.
        hint: worth knowing, though nothing is wrong.
    """

    what: str
    found: str
    problem: str | None = None
    hint: str | None = None
