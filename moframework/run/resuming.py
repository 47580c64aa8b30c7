"""How to go on with a run: which command resumes it, and what its spec may change."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from moframework.config import unstructure
from moframework.config.references import references
from moframework.engine.checkpoint import LAST, exists, recover
from moframework.errors import RunError
from moframework.spec import Spec
from moframework.spec.marks import Source, plain
from moframework.spec.reading import read_yaml

__all__ = ["CHANGEABLE", "changes", "check_changes", "is_longer", "resume_command"]

BUDGET = ("training.epochs", "training.steps", "solver.evaluations")

CHANGEABLE = (
    *BUDGET,
    "solver.failures",
    "training.early_stopping",
    "training.log_every",
    "training.checkpoint_every",
    "training.device",
    "training.workers",
    "training.resident",
    "log",
    "name",
)
"""What of a spec may change when its run is resumed: how long it trains, what is told, and what changes no result but
by rounding. All else would make one run of two."""

_SHOWN = 3  # changes in a message


def resume_command(folder: Path) -> str:
    """The command that continues the run in `folder`, with `--trust` where its spec names code. Nothing is imported,
    and it does not matter whether the spec can be read."""
    return f"moframework solve {folder} --resume" + (" --trust" if _names_code(folder / "spec.yaml") else "")


def _names_code(spec: Path) -> bool:
    try:
        text = spec.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    root, _ = read_yaml(text, Source(str(spec), spec.parent, len(text.splitlines())))
    return root is not None and any(references(plain(root)))


def check_changes(folder: Path, before: Spec, after: Spec) -> None:
    """Refuse to resume a run with a spec that changes more than it may, or asks for less than is done.

    Args:
        folder: of the run.
        before: its spec.
        after: the spec to resume it with.

    Raises:
        RunError: the text says what may change, and what to do.
    """
    changed = dict(changes(before, after))
    others = [text for key, text in changed.items() if not key.startswith(CHANGEABLE)]
    if others:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        raise RunError(
            f"{folder} was made from another spec: {', '.join(others[:_SHOWN])}{more}. On resuming may change: "
            f"{', '.join(CHANGEABLE)}. Resume with `{resume_command(folder)}`, or start a new run with another --out."
        )
    if not any(key in BUDGET for key in changed):
        return
    (key, old), (other, new) = _budget(before), _budget(after)
    if key == other == "evaluations":  # the journal of the search tells whether it has done more
        return
    if key != other:
        raise RunError(
            f"the run in {folder} counts its training in {key}, so that is how it goes on: --set training.{key}=…"
        )
    if new >= old or not exists(folder / "checkpoints" / LAST):
        return
    state = recover(folder / "checkpoints" / LAST, lambda words: None)
    if state["step"] * old > state["steps"] * new:
        done = state["step"] if key == "steps" else round(old * state["step"] / state["steps"], 2)
        raise RunError(
            f"training.{key}: {new} is less than the {done:g} that the run in {folder} has done; a run goes on with as "
            f"many or more ({resume_command(folder)} --set training.{key}=…), or start a new one with another --out."
        )


def is_longer(before: Spec, after: Spec) -> bool:
    """Whether a spec asks for another length of the training, so that a finished run goes on."""
    return _budget(before) != _budget(after)


def _budget(spec: Spec) -> tuple[str, int]:
    """How long a spec trains, in epochs or steps, or searches, in evaluations."""
    training = spec.training
    search = spec.solver.search(len(spec.problem.tasks)) if type(spec.solver).searches else None
    if search is not None:
        return "evaluations", search.budget.evaluations
    if training.steps is not None:
        return "steps", training.steps
    return "epochs", training.budget(1)


def changes(before: Any, after: Any) -> Iterator[tuple[str, str]]:
    """Key and words of each difference of two specs, of runs or of anything else that is made of options."""
    old, new = dict(_flat(unstructure(before))), dict(_flat(unstructure(after)))
    for key in {**old, **new}:
        if old.get(key, _ABSENT) != new.get(key, _ABSENT):
            yield key, f"{key}: {_said(old, key)} → {_said(new, key)}"


_ABSENT = object()


def _said(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "(not there)"
    value = values[key]
    return value if isinstance(value, str) else json.dumps(value)


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Key paths and the values at their ends."""
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    if not parts:
        yield key, value
    for name, part in parts:
        yield from _flat(part, f"{key}.{name}" if key else str(name))
