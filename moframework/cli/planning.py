"""What `moframework benchmark --dry-run` prints: what would run, and what that would take."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from moframework.benchmark.estimating import Basis, Plan, PlannedCell
from moframework.cli.progress import duration
from moframework.cli.tables import table

__all__ = ["print_plan"]

_BASES: dict[Basis, str] = {
    "same": "{} with other seeds",
    "budget": "{} that trained longer or shorter, scaled",
    "similar": "a guess: {} with other options",
}


def print_plan(console: Console, plan: Plan, folder: Path) -> None:
    """A row for each problem and solver whose cells are to be run, then the total.

    Args:
        folder: the benchmark's, for the words.
    """
    groups: dict[tuple[str, str], list[PlannedCell]] = {}
    for one in plan.cells:
        groups.setdefault((one.cell.problem, one.cell.solver), []).append(one)
    rows = table(("problem", "solver", "cells", "each", "from"), right=("cells", "each"))
    for (problem, solver), cells in groups.items():
        rows.add_row(problem, solver, str(len(cells)), _each(cells), _from(cells))
    if groups:
        console.print(rows)
    for line in _total(plan, folder):
        console.print(line, soft_wrap=True)


def _each(cells: list[PlannedCell]) -> str:
    """The range of the estimates."""
    known = [one.estimate.seconds for one in cells if one.estimate is not None]
    if not known:
        return "?"
    low, high = duration(min(known)), duration(max(known))
    return low if low == high else f"{low} to {high}"


def _from(cells: list[PlannedCell]) -> str:
    """What the estimates are made from, or why there is none."""
    found = {one.estimate.basis: one.estimate.cells for one in cells if one.estimate is not None}
    texts = [_BASES[basis].format(f"{count} finished cell{'s' if count > 1 else ''}") for basis, count in found.items()]
    if any(one.assumed for one in cells):
        texts.append("tuned values are not known yet")
    return "; ".join(texts) if found else "no estimate: none of this problem and solver is finished here"


def _total(plan: Plan, folder: Path) -> list[str]:
    """What it comes to."""
    if not plan.cells:
        return [f"Nothing to run: all {plan.done} cells are done."]
    lines = [f"{len(plan.cells)} cells to run, {plan.done} are done."]
    known = len(plan.cells) - len(plan.unknown)
    if known:
        those = "They" if not plan.unknown else f"Those {known} that have an estimate"
        lines.append(
            f"{those} take about {duration(plan.seconds)} one after the other, "
            f"of which training takes {duration(plan.processor_seconds)} of processor time."
        )
        if plan.parallel is not None:
            lines.append(f"With {plan.parallel} at a time: about {duration(plan.duration(plan.parallel))}.")
        else:
            lines.append(
                "How many run at a time only the cluster knows. "
                + ", ".join(f"With {n}: {duration(plan.duration(n))}" for n in (2, 8, 32)) + "."
            )  # fmt: skip
    if plan.unknown:
        lines.append(
            f"{len(plan.unknown)} have no estimate: nothing of their problem and solver is finished in {folder}. To "
            "have one, run one seed first: --set seeds=[0]"
        )
    return lines
