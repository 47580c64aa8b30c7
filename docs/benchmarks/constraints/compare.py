"""Hold a spec with constraints against single networks, of which the best that meets them counts.

    python docs/benchmarks/constraints/compare.py limited SPEC 0,1,2 limited.jsonl
    python docs/benchmarks/constraints/compare.py single SPEC 0,1,2 0.4,0.45,0.5 single.jsonl
    python docs/benchmarks/constraints/compare.py table SPEC limited.jsonl single.jsonl results.md

`single` trains one network for each seed and weight of the first of two tasks, in all else as the spec says. What a
file already has is not trained again. The loss of the task that no constraint is on is compared, on validation.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from moframework import Run, solve
from moframework.run.constraining import conditions_of
from moframework.spec import load_spec


def limited(spec: str, seeds: str, file: str) -> None:
    """Solve the spec with each seed."""
    for seed in map(int, seeds.split(",")):
        _solved({"seed": seed}, [f"seed={seed}"], spec, Path(file))


def single(spec: str, seeds: str, weights: str, file: str) -> None:
    """Train a network for each seed and weight."""
    for seed in map(int, seeds.split(",")):
        for weight in map(float, weights.split(",")):
            solver = f"solver={{name: single, preference: [{weight}, {1 - weight:.6g}]}}"
            changed = [f"seed={seed}", "constraints={}", "evaluate.every=0", solver]
            _solved({"seed": seed, "weight": weight}, changed, spec, Path(file))


def table(spec: str, limited_file: str, single_file: str, page: str) -> None:
    """Write both as a table."""
    conditions = conditions_of(load_spec(spec))
    bounded = {one.column.partition("/")[0] for one in conditions}
    other = next(f"{task.name}/loss" for task in load_spec(spec).problem.tasks if task.name not in bounded)
    lines = [
        f"{', '.join(map(str, conditions))}. Best: the smallest `{other}` on validation where all of them hold.",
        "",
        "| seed | hold on validation | hold on test | best | best of single, of how many networks | more than that |",
        "|---|---|---|---|---|---|",
    ]

    def meet(columns: dict[str, list[float]]) -> Any:
        return np.all([one.holds(np.array(columns[one.column])) for one in conditions], axis=0)

    networks = _rows(Path(single_file))
    for row in _rows(Path(limited_file)):
        own = [each for each in networks if each["seed"] == row["seed"]]
        best = float(np.array(row["val"][other])[meet(row["val"])].min())
        of_single = min((each["val"][other][0] for each in own if meet(each["val"])[0]), default=float("nan"))
        compared = f"{of_single:.4f}, {len(own)} | {best / of_single - 1:+.1%}" if own else "not measured |"
        held = [f"{int(meet(row[split]).sum())} of {len(row[split][other])}" for split in ("val", "test")]
        lines.append(f"| {row['seed']} | {held[0]} | {held[1]} | {best:.4f} | {compared} |")
    Path(page).write_text("\n".join([*lines, ""]), encoding="utf-8")


def _solved(key: dict[str, Any], changed: list[str], spec: str, file: Path) -> None:
    if any(all(row[name] == value for name, value in key.items()) for row in _rows(file)):
        return
    with tempfile.TemporaryDirectory() as folder:
        run: Run = solve(load_spec(spec, changed), out=Path(folder) / "run")
        columns = {
            split: {name: values.tolist() for name, values in run.front(split).columns().items()}
            for split in ("val", "test")
        }
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({**key, **columns}) + "\n")


def _rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    {"limited": limited, "single": single, "table": table}[command](*rest)
