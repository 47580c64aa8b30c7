"""What a study keeps in its folder beside its journal: what it was made from, and whether it may go on with a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from moframework.config import unstructure
from moframework.errors import MoframeworkError, RunError, SpecError, shortened
from moframework.io.sealed import read_sealed_yaml, write_sealed_yaml
from moframework.run.resuming import changes
from moframework.spec.marks import Source, plain
from moframework.spec.reading import read_yaml
from moframework.tuning.spec import Study

__all__ = ["CHANGEABLE", "STUDY", "check_same", "write_study"]

STUDY = "study.yaml"
CHANGEABLE = ("tune.trials", "tune.seconds", "tune.processor_seconds", "tune.jobs", "log", "name")
"""What of a study may change when it goes on: its budget, and what changes no trial."""

_SHOWN = 3  # changes in a message
_ADVICE = "It says what the study tunes. Bring it back from a copy, or start anew with another --out."


def write_study(study: Study, folder: Path) -> None:
    """Write the expanded study. Raises `SpecError` where it holds objects that no file could name."""
    try:
        text = study.to_yaml()
    except (MoframeworkError, TypeError) as error:
        raise SpecError(
            "problem: it is made of objects in memory, but the process of a trial has to find it: name it instead, as "
            f'{{"python": "./mine.py:problem"}} ({shortened(" ".join(str(error).split()), 80)})'
        ) from error
    write_sealed_yaml(folder / STUDY, text)


def check_same(study: Study, folder: Path) -> None:
    """Refuse to go on with a study whose spec changes more than it may, and to begin one in a folder of something else.

    Raises:
        RunError: the text says what may change.
    """
    if not (folder / STUDY).is_file():
        if folder.is_dir() and any(not one.name.startswith(".") for one in folder.iterdir()):
            raise RunError(f"{folder} exists, is not empty, and holds no study. Choose another --out.")
        return
    text = read_sealed_yaml(folder / STUDY, advice=_ADVICE)
    root, _ = read_yaml(text, Source(str(folder / STUDY), folder, 1))
    before: Any = {} if root is None else plain(root)
    others = [text for key, text in changes(before, unstructure(study)) if not _may_change(key)]
    if others:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        raise RunError(
            f"{folder} holds a study of another spec: {', '.join(others[:_SHOWN])}{more}. When it goes on may change: "
            f"{', '.join(CHANGEABLE)}. Start another with another --out."
        )


def _may_change(key: str) -> bool:
    return any(key == one or key.startswith(f"{one}.") for one in CHANGEABLE)
