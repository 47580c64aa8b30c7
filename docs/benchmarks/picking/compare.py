"""Hold `Run.pick` against the best of 1,001 evaluated preferences, for ten conditions on a run of two tasks.

    python docs/benchmarks/picking/compare.py grid RUN grid.json
    python docs/benchmarks/picking/compare.py picks RUN picks.json
    python docs/benchmarks/picking/compare.py table RUN grid.json picks.json docs/benchmarks/picking/results.md

Bounds are stated by the run's stored validation front alone: 20, 40, 60 and 80 % of the range of either task's first
metric, and the middle of either loss. The other task's column is what is made best.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from moframework import Front, Run
from moframework.preferences import evaluation_set
from moframework.run.picking import pick, rule_of

POINTS, AT_ONCE = 1001, 77


def grid(run: Run, file: Path) -> None:
    """Evaluate 1,001 even preferences on the validation split."""
    trained, front = run.trained(), None
    for part in evaluation_set(2, POINTS).split(AT_ONCE):
        found = trained.front(part, "val")
        front = found if front is None else front.extended(found)
        front.save(file)


def questions(front: Front) -> list[tuple[str, dict[str, str]]]:
    """Ten conditions, each with what is made best."""
    found = []
    for one, other in (front.tasks, front.tasks[::-1]):
        names = [name.partition("/")[2] for name in front.metrics if name.startswith(f"{one}/")]
        values = front.metrics[f"{one}/{names[0]}"]
        for share in (0.2, 0.4, 0.6, 0.8):
            bound = round(float(values.min() + share * np.ptp(values)), 4)
            found.append((f"{one}/{names[0]} >= {bound}", {"maximize": f"{other}/{names[0]}"}))
        middle = round(float(front.columns()[f"{one}/loss"].min() + np.ptp(front.columns()[f"{one}/loss"]) / 2), 4)
        found.append((f"{one}/loss <= {middle}", {"minimize": f"{other}/loss"}))
    return found


def picks(run: Run, file: Path) -> None:
    """Pick a point for each question."""
    stored, trained, found = run.front("val"), run.trained(), []
    for where, wanted in questions(stored):
        point = pick(trained, stored, where, rule_of(stored, **wanted))
        found.append({"where": where, **wanted, **point.as_plain()})
        file.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")


def table(run: Run, grid_file: Path, picks_file: Path, page: Path) -> None:
    """Write both as a table."""
    stored, all_points = run.front("val"), Front.load(grid_file)
    lines = [
        f"| condition | made best | best of {len(all_points.losses):,} | best of the {len(stored.losses)} stored "
        "| pick | short of the best by | evaluations |",
        "|---|---|---|---|---|---|---|",
    ]
    worst = -np.inf
    for point in json.loads(picks_file.read_text(encoding="utf-8")):
        how = "maximize" if "maximize" in point else "minimize"
        wanted, column, sign = {how: point[how]}, point[how], -1 if how == "maximize" else 1
        best, of_stored = (
            float(front.columns()[column][front.select(where=point["where"], **wanted)])
            for front in (all_points, stored)
        )
        short = sign * (point["val"][column] - best)
        worst = max(worst, short)
        values = f"{best:.4f} | {of_stored:.4f} | {point['val'][column]:.4f} | {short:+.4f}"
        lines.append(f"| `{point['where']}` | `{column}` | {values} | {point['evaluations']} |")
    page.write_text("\n".join([*lines, "", f"Largest shortfall: {worst:+.4f}.", ""]), encoding="utf-8")


if __name__ == "__main__":
    command, folder, *rest = sys.argv[1:]
    {"grid": grid, "picks": picks, "table": table}[command](Run(folder), *map(Path, rest))
