"""What was measured, as a table and as JSON, and against what was measured before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from moframework.io.atomic import write_text
from moframework.run.environment import environment

__all__ = ["WORSE", "Line", "load", "save", "table", "worse"]

WORSE = 1.10
"""A ratio that has grown by more than this factor is reported."""


@frozen(kw_only=True)
class Line:
    """One contender of one case."""

    case: str
    contender: str
    against: str
    amount: float
    """Seconds of one call, or bytes."""
    unit: str
    ratio: float
    low: float
    high: float
    limit: float | None

    @property
    def verdict(self) -> str:
        """`met`, `MISSED`, or nothing where nothing is promised."""
        if self.limit is None:
            return ""
        return "met" if self.ratio <= self.limit else "MISSED"


def save(lines: Sequence[Line], path: Path, facts: Mapping[str, Any]) -> None:
    """Write lines, settings and environment as JSON."""
    content = {"environment": environment(), **facts, "lines": [asdict(line) for line in lines]}
    write_text(path, json.dumps(content, indent=1) + "\n")


def load(path: Path) -> list[Line]:
    """What `save` wrote."""
    return [Line(**line) for line in json.loads(path.read_text(encoding="utf-8"))["lines"]]


def table(lines: Sequence[Line]) -> str:
    """As Markdown."""
    rows = [
        "| case | contender | median | against | ratio (quartiles) | at most | |",
        "|---|---|---:|---|---:|---:|---|",
    ]
    for line in lines:
        amount = f"{line.amount / 2**20:,.0f} MiB" if line.unit == "bytes" else f"{line.amount * 1e3:,.3g} ms"
        ratio = f"{line.ratio:.3f} ({line.low:.3f}–{line.high:.3f})"
        limit = "" if line.limit is None else f"{line.limit:.2f}"
        rows.append(
            f"| {line.case} | {line.contender} | {amount} | {line.against} | {ratio} | {limit} | {line.verdict} |"
        )
    return "\n".join(rows)


def worse(lines: Sequence[Line], before: Sequence[Line]) -> list[str]:
    """Ratios that have grown by more than `WORSE`, in words, and cases that are no longer there."""
    old = {(line.case, line.contender): line for line in before}
    found = []
    for line in lines:
        known = old.get((line.case, line.contender))
        if known is not None and line.ratio > WORSE * known.ratio:
            growth = line.ratio / known.ratio - 1
            found.append(f"{line.case}, {line.contender}: {known.ratio:.3f} → {line.ratio:.3f} (+{growth:.0%})")
    return found
