"""The course of a search, in the form of `history.json`: what the evaluations so far would have answered."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from moframework.blackbox import Evaluations
from moframework.blackbox.placing import Scale
from moframework.io.atomic import write_text
from moframework.io.sealed import FORMAT, seal_json
from moframework.pareto import hypervolume
from moframework.pareto.front import Front
from moframework.run.history import DIGITS, MOST_NUMBERS, MOST_VALIDATIONS
from moframework.run.run import HISTORY

__all__ = ["write_search_history"]

Array = npt.NDArray[np.float64]


def write_search_history(folder: Path, known: Evaluations, front: Front) -> None:
    """Write the history of a finished search: a validation after each batch, with the evaluations so far as its step.

    Its losses are, at each preference of the final front, those of the best point by then, by the Tchebycheff
    scalarization that places points; its hypervolume is that of all evaluations by then.

    Args:
        folder: of the run.
        known: all evaluations.
        front: the final one.
    """
    ends = [k for k in range(1, len(known) + 1) if k == len(known) or known[k].batch != known[k - 1].batch]
    ends = [k for k in ends if len(known[:k].values)]
    most = max(8, min(MOST_VALIDATIONS, MOST_NUMBERS // max(front.losses.size, 1)))
    every = 1
    while len(ends[::every]) > most:
        every *= 2
    kept = sorted({*ends[::every], ends[-1]})
    content: dict[str, Any] = {
        "format": FORMAT,
        "split": "val",
        "tasks": list(front.tasks),
        "preferences": front.preferences.tolist(),
        "higher_is_better": {},
        "reference": list(front.reference or ()),
        "metric_reference": {},
        "complete": True,
        "count": len(ends),
        "every": every,
        "validations": [_validation(known, k, front, is_last=k == ends[-1]) for k in kept],
    }
    write_text(folder / HISTORY, seal_json(json.dumps(content, indent=1) + "\n"))


def _validation(known: Evaluations, k: int, front: Front, *, is_last: bool) -> dict[str, Any]:
    values, scale = known[:k].values, Scale(known.values)
    above = scale.standardized(values) - scale.ideal  # (k, m)
    best = (front.preferences[:, None] * above[None]).max(axis=2).argmin(axis=1)
    volume = hypervolume(values, front.reference or ())
    return {
        "step": k,
        "epoch": float(known[k - 1].batch + 1),
        "best": is_last,
        "losses": [[_shortened(value) for value in row] for row in values[best].tolist()],
        "metrics": {},
        "hypervolumes": {"losses": _shortened(volume) if math.isfinite(volume) else None},
    }


def _shortened(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
