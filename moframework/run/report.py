"""The page at the end of a run: what ran, where the time went, memory, the front, and what is worth knowing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from moframework.config import unstructure
from moframework.data import Split
from moframework.engine.acceleration import concerns_speed
from moframework.engine.events import Observer
from moframework.engine.loop import Hook, Loop
from moframework.io.atomic import write_text
from moframework.io.sealed import FORMAT, write_json
from moframework.pareto.front import Front
from moframework.pareto.words import point_in_words, ranks_in_words
from moframework.problem.task import Task
from moframework.run.plan import Plan
from moframework.run.timing import HOW, PARTS, Timing
from moframework.spec import Spec

__all__ = ["Notes", "oddities", "report", "write_report"]

FLAT = 0.01
"""Relative change of a loss over the front below which it counts as none."""
_MOST_NOTES = 100
_BARRIER = 0.05
"""Relative excess of a loss over the vertices from which it is told."""


class Notes(Observer):
    """Keeps what the engine notes; a checkpoint carries it, so that a resumed run has the notes of all its processes.

    Attributes:
        texts: each note once, the first hundred.
        hook: what a training calls for checkpoints.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.hook: Hook = _CarriedNotes(self)

    def noted(self, words: str) -> None:
        """Keep a note."""
        if words not in self.texts and len(self.texts) < _MOST_NOTES:
            self.texts.append(words)


class _CarriedNotes(Hook):
    def __init__(self, notes: Notes) -> None:
        self.notes = notes

    def state(self) -> dict[str, Any]:
        return {"notes": list(self.notes.texts)}

    def load(self, loop: Loop, state: dict[str, Any]) -> None:
        new, self.notes.texts = self.notes.texts, [str(text) for text in state.get("notes", ())]
        for text in new:
            self.notes.noted(text)


def report(
    ready: Plan,
    facts: Mapping[str, Any],
    fronts: Mapping[Split, Front],
    timing: Timing,
    notes: Notes,
    world_size: int = 1,
    validations: Sequence[Mapping[str, float | None]] = (),
) -> dict[str, Any]:
    """The page of a finished run as plain data.

    Args:
        facts: what its status tells: `steps`, `peak_memory`, `parameters`, `backbone_parameters`, and `skipped_steps`
            where some were.
        fronts: by split, `test` among them.
        validations: when they came, see `History.times`.

    Returns:
        `run`, `labels` (by split: in how many samples they were counted, and how many each task has), `targets` (by
        task: its unit, and the weights of its classes), `time` (seconds and percent by part, see `timing.PARTS`),
        `peak_memory` in bytes, `fronts` by split, and `notes`, texts, those on speed last.
    """
    told = [
        *notes.texts,
        *([] if ready.method.trains else barriers(fronts["val"])),
        *oddities(fronts["test"], facts, fronts["val"]),
        *_validation(ready.spec, fronts),
    ]
    return {
        "format": FORMAT,
        "run": _what_ran(ready, facts, world_size),
        "labels": {split: found.plain() for split, found in ready.labels.items()},
        "targets": {task.name: _target(task) for task in ready.spec.problem.tasks},
        "time": {**_time(timing, world_size), "validations": [dict(one) for one in validations]},
        "peak_memory": dict(facts["peak_memory"]),
        "fronts": {split: _front(front) for split, front in fronts.items()},
        "notes": sorted(told, key=concerns_speed),
    }


def write_report(folder: Path, page: Mapping[str, Any]) -> None:
    """Write a page as `report.json`, sealed, and as text for people, `report.txt`."""
    write_json(folder / "report.json", page)
    write_text(folder / "report.txt", "\n".join(as_text(page)) + "\n")


def oddities(front: Front, facts: Mapping[str, Any], val: Front) -> list[str]:
    """What a front has that is allowed but seldom wanted, a sentence each with what may help.

    Args:
        facts: as of `report`.
        val: the front of the validation split.
    """
    found = _flat(front)
    for task, rank, before in zip(front.tasks, front.controllability(), val.controllability(), strict=True):
        where = [name for name, one in (("validation", before), (front.split, rank)) if one > 0]
        if where:
            found.append(
                f"The dial of '{task}' is reversed on the {' and the '.join(where)} split: more weight on it goes with "
                f"more loss (rank correlation {before:+.2f} on the validation split, {rank:+.2f} on the "
                f"{front.split} split; -1 is ideal). Train longer, or balance the losses (`solver.balancing`)."
            )
    for task, losses in zip(front.tasks, front.losses.T, strict=True):
        if not losses.any():
            found.append(
                f"The loss of '{task}' is exactly 0 everywhere: either it is solved without error, or no sample of the "
                f"{front.split} split has a label of it, and then the hypervolume says nothing."
            )
    found += [
        f"The metric {name} is not defined on the {front.split} split: one class or group alone occurs there, or "
        "nothing varies, or too few samples have a label. Divide the data otherwise, or report another metric."
        for name in _undefined(front)
    ]
    for name, value in front.hypervolumes().items():
        if value["value"] == 0:
            found.append(
                f"The hypervolume of {name} is 0: no point of the front is better than the reference point in every "
                "objective. Train longer, or check the reference point (`evaluate.reference`)."
            )
    if facts.get("skipped_steps"):
        found.append(
            f"{facts['skipped_steps']} of {facts['steps']} steps were skipped, for a loss or a gradient was not finite."
        )
    return found


def _flat(front: Front) -> list[str]:
    """What to tell of losses that hardly change over a front."""
    if len(front.losses) < 2:
        return []
    low, high = front.losses.min(axis=0), front.losses.max(axis=0)
    flat = high - low <= FLAT * np.maximum(np.abs(high), np.abs(low))
    if flat.all():
        return [
            f"The front is flat: no loss changes by more than {FLAT:.0%} over it, whatever the preference. Train "
            "longer, or give the solver more room (rank, alpha, distinct initial networks)."
        ]
    return [
        f"The front is flat in '{task}', whose loss changes by no more than {FLAT:.0%} over it, whatever the "
        "preference: the others take nothing from this task, or its loss is too small beside theirs "
        "(`solver.balancing`)."
        for task, one, losses in zip(front.tasks, flat, front.losses.T, strict=True)
        if one and losses.any()  # of one that is 0 everywhere there is a note of its own
    ]


def barriers(front: Front) -> list[str]:
    """Where a task's loss between networks that were merged is larger than at every vertex: a barrier, which lines
    between networks from one start do not have. A sentence on the largest one, beyond 5 % of the loss."""
    corners = front.preferences.max(axis=1) > 1 - 1e-6
    if corners.sum() < len(front.tasks) or corners.all():
        return []
    bounds = front.losses[corners].max(axis=0)
    excess = (front.losses[~corners] - bounds) / np.maximum(np.abs(bounds), np.finfo(np.float64).tiny)
    row, task = divmod(int(excess.argmax()), excess.shape[1])
    if excess[row, task] <= _BARRIER:
        return []
    where = ", ".join(f"{weight:.3g}" for weight in front.preferences[~corners][row])
    return [
        f"There is a barrier between the members: at λ = ({where}) the {front.split} loss of '{front.tasks[task]}' is "
        f"{front.losses[~corners][row, task]:.4g}, more than {bounds[task]:.4g}, the most at any vertex. Fine-tune the "
        "members from one network, for fewer steps or at a lower learning rate."
    ]


def _validation(spec: Spec, fronts: Mapping[Split, Front]) -> list[str]:
    """What follows, a sentence each, from a validation hypervolume of 0, or from a test split of another scale."""
    val, test = (fronts[split].hypervolumes() for split in ("val", "test"))
    if "losses" not in val or "losses" not in test:
        return []
    found, reached = [], val["losses"]["value"]
    if reached > 0 and test["losses"]["value"] == 0:
        found.append(
            f"The hypervolume of losses is {reached:.4g} on the validation split and 0 on the test split: its losses "
            "are of another scale. Compare how the splits were made; a reference point for both can be stated "
            "(`evaluate.reference`)."
        )
    stops = ["`training.early_stopping`"] if spec.training.early_stopping is not None else []
    asked = [*stops, *(["`evaluate.checkpoint: best`"] if spec.evaluate.checkpoint == "best" else [])]
    if reached == 0 and asked:
        found.append(
            f"The validation hypervolume is 0, so {' and '.join(asked)} had nothing to go by: state a reference point "
            "that the front can reach (`evaluate.reference`)."
        )
    return found


def _undefined(front: Front) -> list[str]:
    return [name for name, values in front.metrics.items() if bool(np.isnan(values).all())]


def as_text(page: Mapping[str, Any]) -> list[str]:
    """The lines of a page."""
    run, took = page["run"], page["time"]
    ran = "".join(f"\n  {key.replace('_', ' '):22}{_shown(value)}" for key, value in run.items())
    rows = [
        f"  {part.replace('_', ' '):22}{seconds:12.2f} s {took['percent'][part]:6.1f} %   {PARTS[part]}"
        for part, seconds in took["seconds"].items()
    ]
    memory = [f"  {where:22}{bytes_ / 2**20:,.0f} MiB" for where, bytes_ in page["peak_memory"].items()]
    lines = [
        f"What ran{ran}",
        "",
        f"Where the time went: {took['wall_seconds']:.2f} s in all",
        *rows,
        *(f"  {text}" for text in took["remarks"]),
        "",
        "Peak memory",
        *(memory or ["  not told by this system"]),
    ]
    lines += _label_text(page.get("labels", {}))
    for split, front in page["fronts"].items():
        lines += ["", *_front_lines(split, front)]
    return [*lines, "", "Notes", *([f"  - {note}" for note in page["notes"]] or ["  none"])]


def _label_text(labels: Mapping[str, Any]) -> list[str]:
    """Lines on the labels that each task has; none where no sample lacks one."""
    if all(count == found["counted_in"] for found in labels.values() for count in found["by_task"].values()):
        return []
    lines = [
        f"  {split:22}{_shown(found['by_task'])} (of {found['counted_in']:,} samples)"
        for split, found in labels.items()
    ]
    return ["", "Labels", *lines]


def _what_ran(ready: Plan, facts: Mapping[str, Any], world_size: int) -> dict[str, Any]:
    spec: Spec = ready.spec
    return {
        "spec": spec.name or "run",
        "problem": _name(spec.problem),
        "solver": _name(spec.solver),
        "tasks": [task.name for task in spec.problem.tasks],
        "steps": facts["steps"],
        **{key: facts[key] for key in ("evaluations", "failed_evaluations") if key in facts},
        "seed": spec.seed,
        "device": ready.place.describe(),
        "processes_together": world_size,
        "parameters": facts["parameters"],
        "backbone_parameters": facts["backbone_parameters"],
        "versions": {"moframework": metadata.version("moframework"), "torch": str(torch.__version__)},
    }


def _target(task: Task) -> dict[str, Any]:
    """What it takes to read the numbers of a task."""
    weights = task.loss.class_weights
    return {
        "mean": task.mean,
        "deviation": task.deviation,
        "class_weights": None if weights is None else list(weights),
    }


def _time(timing: Timing, world_size: int) -> dict[str, Any]:
    seconds = timing.seconds()
    wall = sum(seconds.values())
    remarks = [HOW, f"Steps divided in the last process: {timing.sampled_steps}."]
    if timing.processes > 1:
        told = f"{timing.processes} processes worked on this run one after the other"
        remarks.append(
            f"{told}; of the earlier ones the time up to the checkpoint that was resumed is counted."
            if timing.complete
            else f"{told} or more; the time of the first ones is not known, for their checkpoint does not carry it."
        )
    if world_size > 1:
        remarks.append("The times are those of the first of the processes that trained together.")
    return {
        "wall_seconds": round(wall, 3),
        "seconds": {part: round(value, 3) for part, value in seconds.items()},
        "percent": {part: round(100 * value / wall, 1) if wall > 0 else 0.0 for part, value in seconds.items()},
        "processes": timing.processes,
        "complete": timing.complete,
        "sampled_steps": timing.sampled_steps,
        "remarks": remarks,
    }


def _front(front: Front) -> dict[str, Any]:
    ranks = front.controllability()
    best: dict[str, dict[str, Any]] = {}
    columns = {f"{task}/loss": (front.losses[:, t], np.argmin) for t, task in enumerate(front.tasks)}
    columns |= {
        name: (values, np.argmax if front.higher_is_better[name] else np.argmin)
        for name, values in front.metrics.items()
    }
    for name, (values, choose) in columns.items():
        best[name] = _best(front, values, choose)
    return {
        "points": len(front.losses),
        "nondominated": int(front.nondominated().sum()),
        "controllability": {
            task: None if math.isnan(rank) else round(float(rank), 6)
            for task, rank in zip(front.tasks, ranks, strict=True)
        },
        "hypervolumes": front.hypervolumes(),
        "best": best,
    }


def _best(front: Front, values: Any, choose: Callable[..., Any]) -> dict[str, Any]:
    """The best value of a column and where it is; None where no value is a number."""
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return {"value": None, "preference": None}
    row = int(known[choose(values[known])])
    return {"value": float(values[row]), "preference": [float(weight) for weight in front.preferences[row]]}


def _front_lines(split: str, front: Mapping[str, Any]) -> list[str]:
    tasks = list(front["controllability"])
    ranks = [math.nan if rank is None else rank for rank in front["controllability"].values()]
    lines = [
        f"Front on the {split} split: {front['nondominated']} of {front['points']} points are non-dominated",
        f"  rank correlation of preference and loss (-1 is ideal): {ranks_in_words(ranks, tasks)}",
    ]
    for name, value in front["hypervolumes"].items():
        point = point_in_words(value["reference"], tasks)
        lines.append(f"  hypervolume of {name}: {value['value']:.4f} (reference ({point}); {value['convention']})")
    for name, value in front["best"].items():
        if value["value"] is not None:
            weights = point_in_words(value["preference"], tasks)
            lines.append(f"  best {name:19} {value['value']:.4f} at λ = ({weights})")
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {one}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _name(part: object) -> str:
    plain = unstructure(part)
    return str(plain["name"]) if isinstance(plain, dict) and "name" in plain else type(part).__name__
