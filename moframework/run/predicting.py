"""Predictions of a finished run, or of a model's folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from moframework.config import Trust
from moframework.engine.device import device_called
from moframework.model import ParetoModel
from moframework.predicting import Predictions, Reading, Unseen
from moframework.run.run import SPEC
from moframework.run.saved_statistics import saved_statistics_note

__all__ = ["predict"]


def predict(
    folder: Path,
    raw: Any,
    preference: Sequence[float],
    *,
    keep: Sequence[str] = (),
    unseen: str = "refuse",
    device: str = "cpu",
    trust: Trust = False,
    note: Callable[[str], None],
) -> Iterator[Predictions]:
    """What the model in a folder says of raw data at one preference, some samples at a time.

    Args:
        folder: of a run, or of its model.
        raw, preference, keep, unseen: see `ParetoModel.predict`.
        device: `auto`, cpu, cuda, cuda:N or mps.
        trust: what may be imported where the model names code.
        note: is told what is worth knowing, a sentence each.

    Raises:
        SpecError: there is no such device.
        RunError: there is no model, or it is not known how raw data becomes its inputs.
        PreferenceError: the preference is none.
        DataError: raw data cannot be read, or not as in training; only told where that is reached.
    """
    place = device_called(device, "--device")
    model = ParetoModel.load(folder, place, trust=trust)
    told = saved_statistics_note(folder / SPEC, model)
    if told is not None:
        note(told)
    reading = Reading(count=256, unseen=cast(Unseen, unseen), keep=tuple(keep), note=note)
    return model.predict_parts(raw, preference, reading)
