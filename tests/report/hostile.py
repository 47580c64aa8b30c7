"""A run whose folder, tasks, metrics and notes have names that a careless page would run."""

from __future__ import annotations

import shutil
from pathlib import Path

import attrs

from moframework.pareto.front import Front
from tests.seals import change_json

__all__ = ["HOSTILE", "hostile_run"]

HOSTILE = ("<img src=x onerror=alert(1)>\"'&amp;", "__proto__")
"""Names of two tasks."""
_METRIC = "<!--<script>alert(2)//"


def hostile_run(run: Path, folder: Path) -> Path:
    """A copy of a run of two tasks below `folder`, with hostile names."""
    made = Path(shutil.copytree(run, folder / "run<" / 'script>alert(3)<"'))
    for split in ("val", "test"):
        front = Front.load(made / f"front-{split}.json")
        values = list(front.metrics.values())
        names = [f"{task}/{_METRIC}" for task in HOSTILE]
        attrs.evolve(
            front, tasks=HOSTILE, metrics=dict(zip(names, values, strict=True)),
            higher_is_better=dict.fromkeys(names, True), metric_reference={},
        ).save(made / f"front-{split}.json")  # fmt: skip
    history = {
        "tasks": list(HOSTILE),
        "higher_is_better": dict.fromkeys((f"{task}/{_METRIC}" for task in HOSTILE), True),
    }
    past = change_json(made / "history.json", **history)["validations"]
    for one in past:
        one["metrics"] = {
            f"{task}/{_METRIC}": values for task, values in zip(HOSTILE, one["metrics"].values(), strict=True)
        }
    change_json(made / "history.json", validations=past)
    change_json(made / "report.json", notes=["</script><script>alert(4)</script>", "<b onclick='alert(5)'>"])
    return made
