"""A finished run, or the folder of a model, as a service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from moframework.config import Trust
from moframework.engine.device import device_called
from moframework.errors import MoframeworkError
from moframework.model import ParetoModel
from moframework.predicting import Preparation
from moframework.run.picking import arguments_of_text, pick_told
from moframework.run.run import SPEC, Run
from moframework.run.saved_statistics import saved_statistics_note
from moframework.serve.limits import Limits
from moframework.serve.points import named_points
from moframework.serve.samples import Samples
from moframework.serve.service import Service

__all__ = ["service_of"]


def service_of(
    folder: Path,
    points: Sequence[str] = (),
    limits: Limits | None = None,
    *,
    samples: int = 8,
    device: str = "cpu",
    trust: Trust = False,
    note: Callable[[str], None] = lambda text: None,
) -> Service:
    """The service of a finished run's model.

    Args:
        folder: of a run, or of its model.
        points: operating points by name: see `named_points`.
        limits: of the server.
        samples: how many of the problem's test split are there to be tried; they are left out, with a note, where the
            data is missing or the folder is a model's.
        device: `auto`, cpu, cuda, cuda:N or mps.
        trust: what may be imported where the run names code.
        note: is told what is worth knowing, a sentence each.

    Raises:
        SpecError: there is no such device.
        RunError: there is no model, or it is not known how raw data becomes its inputs.
        MoframeworkError: a point cannot be read.
    """
    place = device_called(device, "--device")
    if (folder / SPEC).is_file():
        model = Run(folder, trust=trust).model(place)
    else:
        model = ParetoModel.load(folder, place, trust=trust)
    told = saved_statistics_note(folder / SPEC, model)
    if told is not None:
        note(told)
    named = named_points(points, model.tasks, _picker(folder, device, trust, note))
    service = Service.of(model, folder.resolve().name, named, limits)
    if not samples:
        return service
    found = _samples(folder, samples, cast(Preparation, model.preparation), trust)
    if found.why:
        note(f"there are no samples to try: {found.why}")
    return Service.of(model, service.name, named, limits, found)


def _picker(
    folder: Path, device: str, trust: Trust, note: Callable[[str], None]
) -> Callable[[str], tuple[float, ...]] | None:
    """What chooses a point of a run by a text; None for the folder of a model."""
    if not (folder / SPEC).is_file():
        return None

    def picked(text: str) -> tuple[float, ...]:
        found = Run(folder, trust=trust).pick(**arguments_of_text(text), device=device)
        note(pick_told(found))
        return found.preference

    return picked


def _samples(folder: Path, count: int, preparation: Preparation, trust: Trust) -> Samples:
    if not (folder / SPEC).is_file():
        return Samples(why="this is the folder of a model, which has no data")
    try:
        return Samples.of(Run(folder, trust=trust).spec.problem, count, preparation)
    except MoframeworkError as error:
        return Samples(why=str(error).splitlines()[0])
