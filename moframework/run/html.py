"""A run as a small piece of HTML, for notebooks."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from moframework.errors import RunError, shortened
from moframework.pareto.front import Front
from moframework.pareto.html import front_html

__all__ = ["run_html"]


def run_html(path: Path, status: str, summary: dict[str, Any], front: Front | RunError) -> str:
    """Where a run is, how it ended and what it took; and its front, or why there is none.

    Args:
        path: of the run folder.
        status: of the run.
        summary: what `status.json` says.
        front: on test.
    """
    facts = [status]
    for key, unit in (("steps", " steps"), ("seconds", " s"), ("parameters", " parameters")):
        if isinstance(summary.get(key), int | float):
            facts.append(f"{summary[key]:,.0f}{unit}")
    told = f"<b>{escape(str(path))}</b>: {escape(', '.join(facts))}"
    if isinstance(front, Front):
        return f"<div>{told}{front_html(front)}</div>"
    return f"<div>{told}<div>{escape(shortened(str(front), 400))}</div></div>"
