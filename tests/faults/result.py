"""What became of many mutants of one kind."""

from __future__ import annotations

from attrs import define, field

__all__ = ["EXAMPLES", "Result"]

EXAMPLES = 20
"""Offending mutants that are kept, with the numbers that make them again."""


@define
class Result:
    """Counts of what became of mutants: `refused + accepted = mutants`, unless some raised what no user should see."""

    what: str
    mutants: int = 0
    accepted: int = 0
    """Taken, and found to mean what they say."""
    refused: int = 0
    """Answered in words of our own that name what they should."""
    raw: int = 0
    """Errors that are not ours: a traceback."""
    speechless: int = 0
    """Refused by our own error, which does not say where."""
    silent: int = 0
    """Taken for something else than they say."""
    seconds: float = 0.0
    slowest: float = 0.0
    """Seconds of the one that took longest, the check of what it means included."""
    slowest_mutant: str = ""
    examples: list[str] = field(factory=list)

    @property
    def faultless(self) -> bool:
        """Whether every mutant was refused in words, or accepted for what it says."""
        return self.raw == self.speechless == self.silent == 0 and self.accepted + self.refused == self.mutants

    def offend(self, kind: str, text: str) -> None:
        """Count one that was not as it should be: `raw`, `speechless` or `silent`."""
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"{kind}: {text}")

    def __str__(self) -> str:
        return (
            f"{self.what}: {self.mutants:,} mutants, {self.accepted:,} accepted, {self.refused:,} refused in words, "
            f"{self.raw} raw errors, {self.speechless} without a place, {self.silent} silently other; "
            f"{self.seconds:.0f} s, {self.slowest:.2f} s the slowest ({self.slowest_mutant})"
        )
