"""`Column`: what one column of a benchmark's table is."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Column"]


@frozen(kw_only=True)
class Column:
    """One column of the table."""

    key: str
    """`hypervolume/accuracy`, `best/left/accuracy`, `controllability`, …"""
    title: str
    """Its heading."""
    help: str
    """What the numbers are, in a sentence."""
    digits: int = 4
    """Decimals shown."""
    percent: bool = False
    """Whether it is a ratio shown in percent."""
    upward: bool | None = False
    """Whether larger is better; None where neither is, or where tasks differ in it."""

    @property
    def task(self) -> str | None:
        """The one task that it is of, such as `left` of `best/left/accuracy`; None of a column of all tasks."""
        what, _, rest = self.key.partition("/")
        return rest.partition("/")[0] if what == "best" else None
