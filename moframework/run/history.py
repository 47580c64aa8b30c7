"""The validation fronts of a training: kept, carried by its checkpoints, and written with the results of the run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray

from moframework.engine.events import Observer, Progress
from moframework.engine.loop import Hook, Loop
from moframework.io.atomic import write_text
from moframework.io.sealed import FORMAT, seal_json
from moframework.pareto.front import Front

__all__ = ["DIGITS", "MOST_NUMBERS", "MOST_VALIDATIONS", "History"]

MOST_VALIDATIONS = 200
"""Validations that are kept at most: a picture of the course of a training shows no more."""
MOST_NUMBERS = 200_000
"""Losses and metrics that are kept at most, over all validations: about 2 MB as text."""
DIGITS = 7
"""Significant digits of what is written: those of the float32 numbers that most losses come from."""


@frozen
class _Kept:
    """One validation: which it was, from 0; where in training; its losses and metrics (n, columns); and the seconds and
    processor seconds that training had taken, None where an earlier version kept it."""

    index: int
    step: int
    epoch: float
    values: NDArray[np.float64]
    seconds: float | None = None
    processor_seconds: float | None = None


class History(Observer):
    """Keeps the validation fronts; a checkpoint carries them, so that a resumed run has those of all its processes.

    What is kept stays small however long a run is: at most `MOST_VALIDATIONS` of them, and `MOST_NUMBERS` numbers.
    Beyond that every second one goes, then every second of the rest, and so on; the best and the last one stay. Which
    ones are kept follows from their count alone, so a run that was killed and resumed has the same.

    Attributes:
        hook: what a training calls for checkpoints.
    """

    def __init__(self) -> None:
        self.hook: Hook = _CarriedHistory(self)
        self._kept: list[_Kept] = []
        self._count, self._every, self._best = 0, 1, -1
        self._complete = True

    def evaluated(self, progress: Progress, front: Front, *, hypervolume: float, is_best: bool) -> None:
        """Keep a validation."""
        values = np.concatenate([front.losses, *(column[:, None] for column in front.metrics.values())], axis=1)
        if is_best:
            self._best = self._count
        spent = progress.seconds, progress.processor_seconds
        self._kept.append(_Kept(self._count, progress.step, progress.epoch, values, *spent))
        self._count += 1
        most = max(8, min(MOST_VALIDATIONS, MOST_NUMBERS // max(values.size, 1)))
        self._thin()
        while len(self._kept) > most:
            self._every *= 2
            self._thin()

    def write(self, path: Path, front: Front) -> None:
        """Write what was kept as JSON with a checksum, a line for each validation; whole or not at all.

        Args:
            front: the final front of the validation split, which has the same preferences and columns.
        """
        metrics = list(front.metrics)
        content: dict[str, Any] = {
            "format": FORMAT,
            "split": front.split,
            "tasks": list(front.tasks),
            "preferences": front.preferences.tolist(),
            "higher_is_better": front.higher_is_better,
            "reference": None if front.reference is None else list(front.reference),
            "metric_reference": front.metric_reference,
            "complete": self._complete,
            "count": self._count,
            "every": self._every,
        }
        rows = [json.dumps(self._plain(kept, front, metrics), allow_nan=False) for kept in self._kept]
        lines = [f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in content.items()]
        validations = "[" + ",".join(f"\n    {row}" for row in rows) + ("\n  ]" if rows else "]")
        write_text(path, seal_json("{\n" + ",\n".join([*lines, f'  "validations": {validations}']) + "\n}\n"))

    def times(self) -> list[dict[str, float | None]]:
        """When each validation that was kept came: `step`, and the `training_seconds` and `processor_seconds` of the
        steps before it. They are not in `history.json`, whose bytes are the same however often a run was resumed."""
        return [
            {
                "step": kept.step,
                "training_seconds": None if kept.seconds is None else round(kept.seconds, 3),
                "processor_seconds": None if kept.processor_seconds is None else round(kept.processor_seconds, 3),
            }
            for kept in self._kept
        ]

    def _thin(self) -> None:
        always = {self._best, self._count - 1}
        self._kept = [kept for kept in self._kept if kept.index % self._every == 0 or kept.index in always]

    def _plain(self, kept: _Kept, front: Front, metrics: list[str]) -> dict[str, Any]:
        m = len(front.tasks)
        then = attrs.evolve(
            front, losses=kept.values[:, :m], metrics=dict(zip(metrics, kept.values[:, m:].T, strict=True))
        )
        return {
            "step": kept.step,
            "epoch": round(kept.epoch, 6),
            "best": kept.index == self._best,
            "losses": [_shortened(row) for row in then.losses],
            "metrics": {name: _shortened(values) for name, values in then.metrics.items()},
            "hypervolumes": {
                name: _shortened(np.array([one["value"]]))[0] for name, one in then.hypervolumes().items()
            },
        }

    def state(self) -> dict[str, Any]:
        """What a checkpoint carries."""
        return {
            "count": self._count,
            "every": self._every,
            "best": self._best,
            "complete": self._complete,
            "when": [[kept.index, kept.step, kept.epoch, kept.seconds, kept.processor_seconds] for kept in self._kept],
            "values": torch.from_numpy(np.stack([kept.values for kept in self._kept])) if self._kept else None,
        }

    def load(self, state: dict[str, Any] | None, step: int) -> None:
        """Go on from what a checkpoint of `step` carries: None where an earlier version wrote it."""
        if state is None:
            self._complete = step == 0
            return
        self._count, self._every = int(state["count"]), int(state["every"])
        self._best, self._complete = int(state["best"]), bool(state["complete"])
        values = [] if state["values"] is None else list(state["values"].double().numpy())
        self._kept = [
            _Kept(int(index), int(step), float(epoch), own, *spent)
            for (index, step, epoch, *spent), own in zip(state["when"], values, strict=True)
        ]


class _CarriedHistory(Hook):
    def __init__(self, history: History) -> None:
        self.history = history

    def state(self) -> dict[str, Any]:
        return {"history": self.history.state()}

    def load(self, loop: Loop, state: dict[str, Any]) -> None:
        self.history.load(state.get("history"), loop.done)


def _shortened(values: NDArray[np.float64]) -> list[float | None]:
    """Numbers with `DIGITS` digits; None for what is none."""
    return [float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None for value in values.tolist()]
