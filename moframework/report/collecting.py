"""What runs have to show, side by side as plain data. Nothing that they name is imported."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from moframework.errors import RequestError, SpecError
from moframework.io.sealed import read_sealed_yaml
from moframework.pareto.front import Front
from moframework.run.run import Run
from moframework.run.timing import PARTS

__all__ = ["SPLITS", "Kind", "Shown", "as_plain", "collect"]

Kind = Literal["continuous", "finite", "single", "single_task"]
"""What lies between the points of a run: the same model (`continuous`) or nothing (`finite`: a network each); `single`
and `single_task` are baselines of one point: one network, or one network a task, each told of its own task."""

SPLITS = ("test", "val")
_DIGITS = 6
_MOST_PAST = 60
"""Validations of a run in a page, spread over its training."""
_MOST_NUMBERS = 50_000
"""Numbers of a run's validations in a page: about half a megabyte."""
_MOST_TRUE = 400
"""Points of a known front in a page."""


@frozen
class Shown:
    """A finished run with what is shown of it.

    Attributes:
        name: its own among the runs shown, for people.
        fronts: by split; of single-task networks the one point that their own tasks make together.
        solver, problem: their names.
    """

    name: str
    run: Run
    kind: Kind
    fronts: Mapping[str, Front]
    solver: str
    problem: str


def collect(paths: Sequence[Path | str], names: Sequence[str] | None = None) -> tuple[Shown, ...]:
    """The runs in these folders, in this order, each once.

    Args:
        paths: the folders.
        names: what each is called, one for each folder, which then are distinct; by default the end of its path.

    Raises:
        RunError: there is none, one is no run, has not finished, is damaged, or has other tasks than the first.
    """
    folders = list(dict.fromkeys(Path(path) for path in paths))
    if not folders:
        raise RequestError("no run was given: give the folder of one or more, as `moframework solve` leaves them")
    runs = [Run(folder) for folder in folders]
    shown = tuple(_shown(run, name) for run, name in zip(runs, names or _names(folders), strict=True))
    first = shown[0].fronts[SPLITS[0]].tasks
    for other in shown[1:]:
        tasks = other.fronts[SPLITS[0]].tasks
        if tasks != first:
            raise RequestError(
                f"{other.run.path} has the tasks {', '.join(tasks)}, but {shown[0].run.path} has {', '.join(first)}: "
                "only runs of the same tasks, in the same order, are shown together"
            )
    return shown


def _names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of their paths that tell folders apart."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def _shown(run: Run, name: str) -> Shown:
    fronts = {split: run.front(split) for split in SPLITS}
    told = run.report().get("run", {})
    kind = _kind(run, str(told.get("solver", "")), fronts[SPLITS[0]])
    if kind == "single_task":
        fronts = {split: front.of_vertices() for split, front in fronts.items()}
    return Shown(name, run, kind, fronts, str(told.get("solver", "unknown")), str(told.get("problem", "unknown")))


def _kind(run: Run, solver: str, front: Front) -> Kind:
    """By the solver, where it can be loaded without importing anything, else by its name and its points."""
    try:
        found = type(run.spec.solver)
        single_task, continuous = found.single_task, found.continuous
    except SpecError:
        single_task, continuous = solver == "stl", solver not in ("multipoint", "single")
    if single_task and all((front.preferences[:, t] == 1).any() for t in range(len(front.tasks))):
        return "single_task"
    if len(front.losses) == 1 and not continuous:
        return "single"
    return "continuous" if continuous else "finite"


def as_plain(shown: Sequence[Shown]) -> dict[str, Any]:
    """Runs as data for a page: numbers with 6 digits, None for what is none, and values by column, not by name, so that
    no name is ever a key.

    Returns:
        `tasks`, `splits`, `columns` (name, task, what, whether larger is better), `parts` (what the parts of the time
        are) and `runs`.
    """
    columns: dict[str, dict[str, Any]] = {}
    first = shown[0].fronts[SPLITS[0]]
    for t, task in enumerate(first.tasks):
        columns[f"{task}/loss"] = {"name": f"{task}/loss", "task": t, "what": "loss", "up": False}
    for one in shown:
        front = one.fronts[SPLITS[0]]
        for name, up in front.higher_is_better.items():
            task, _, what = name.partition("/")
            columns.setdefault(name, {"name": name, "task": first.tasks.index(task), "what": what, "up": up})
    return {
        "tasks": list(first.tasks),
        "splits": list(SPLITS),
        "columns": list(columns.values()),
        "parts": [[part, words] for part, words in PARTS.items()],
        "runs": [_plain(one, list(columns)) for one in shown],
    }


def _plain(one: Shown, columns: Sequence[str]) -> dict[str, Any]:
    report, status = one.run.report(), one.run.summary()
    notes = [str(note) for note in report.get("notes", ())]
    if not report:
        notes.append("This run has no report.json: an earlier version made it. Times and notes of it are not known.")
    history, said = _history(one, columns)
    time = report.get("time", {})
    facts = [[key.replace("_", " "), _fact(value)] for key, value in report.get("run", {}).items()]
    memory = [[f"peak memory ({where})", f"{size / 2**20:,.0f} MiB"] for where, size in _memory(report).items()]
    return {
        "name": one.name,
        "path": str(one.run.path),
        "kind": one.kind,
        "solver": one.solver,
        "status": str(status.get("status", "unknown")),
        "fronts": {split: _front(front, columns) for split, front in one.fronts.items()},
        "history": history,
        "facts": [*facts, *memory],
        "seconds": [[part, float(value)] for part, value in time.get("seconds", {}).items()],
        "remarks": [str(text) for text in time.get("remarks", ())],
        "notes": [*notes, *said],
        "spec": read_sealed_yaml(one.run.spec_file, advice="Bring it back from a copy."),
    }


def _memory(report: Mapping[str, Any]) -> Mapping[str, float]:
    found: Mapping[str, float] = report.get("peak_memory", {})
    return found


def _front(front: Front, columns: Sequence[str]) -> dict[str, Any]:
    have = front.columns()
    true = front.true_front
    if true is not None:
        true = true[np.unique(np.linspace(0, len(true) - 1, min(len(true), _MOST_TRUE)).round().astype(int))]
    return {
        "preferences": [_numbers(row) for row in front.preferences],
        "values": [_numbers(have[name]) if name in have else None for name in columns],
        "hypervolumes": [[name, one["value"], one["reference"]] for name, one in front.hypervolumes().items()],
        "controllability": _numbers(front.controllability()),
        "true": None if true is None else [_numbers(row) for row in true],
    }


def _history(one: Shown, columns: Sequence[str]) -> tuple[dict[str, Any] | None, list[str]]:
    """Validations of a run, spread over its training, and what is to be said of them."""
    history = one.run.history()
    if not history:
        return None, ["This run has no history.json: an earlier version made it, so its course is not shown."]
    said = []
    if not history["complete"]:
        said.append("The validations of the first part of this training are not known: an earlier version made it.")
    past = history["validations"]
    tasks, points = history["tasks"], len(history["preferences"])
    size = max(points * (len(tasks) + len(history["higher_is_better"])), 1)
    most = max(4, min(_MOST_PAST, _MOST_NUMBERS // size))
    fewer = sorted(set(np.linspace(0, len(past) - 1, min(len(past), most)).round().astype(int).tolist()))
    return {
        "preferences": [_numbers(np.array(row)) for row in history["preferences"]],
        "curve": [[one["epoch"], one["best"], list(one["hypervolumes"].items())] for one in past],
        "fronts": [[past[i]["epoch"], _past(past[i], tasks, columns)] for i in fewer],
    }, said


def _past(past: Mapping[str, Any], tasks: Sequence[str], columns: Sequence[str]) -> list[list[float | None] | None]:
    losses = np.array(past["losses"], dtype=np.float64).reshape(-1, len(tasks))
    have = {f"{task}/loss": losses[:, t] for t, task in enumerate(tasks)}
    have |= {name: np.array(values, dtype=np.float64) for name, values in past["metrics"].items()}
    return [_numbers(have[name]) if name in have else None for name in columns]


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    return [float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None for value in values.tolist()]


def _fact(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {one}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
