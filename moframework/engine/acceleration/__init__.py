"""Accelerations of the training step: each a plug in one file that can be taken out, all in one list.

`training.acceleration` says which are asked: `auto` (all; `compile` and `activation_checkpoint` apply where their own
keys ask for them), `none` (the plain path, `engine.step`, is all that runs), or names. One test holds every plug of the
list against the plain path on all networks and weight spaces that it claims.

What must not live here: anything that changes a result by more than rounding, or that a solver cannot do without.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from moframework.engine.acceleration.activation_checkpoint import ActivationCheckpoint
from moframework.engine.acceleration.adapter_layers import AdapterLayers
from moframework.engine.acceleration.base import Acceleration
from moframework.engine.acceleration.compiled import Compiled
from moframework.engine.acceleration.cuda_graph import CudaGraph
from moframework.engine.acceleration.shared_concat import SharedConcat
from moframework.engine.acceleration.single_pass import SinglePass
from moframework.engine.settings import Training
from moframework.engine.step import Step
from moframework.errors import SpecError

__all__ = ["ACCELERATIONS", "Acceleration", "Choice", "accelerate", "choices", "concerns_speed", "summary"]

ACCELERATIONS: dict[str, type[Acceleration]] = {
    "compile": Compiled,
    "activation_checkpoint": ActivationCheckpoint,
    "single_pass": SinglePass,
    "adapter_layers": AdapterLayers,
    "shared_concat": SharedConcat,
    "cuda_graph": CudaGraph,
}
"""By name, in the order in which they are asked."""
_OF_SPEED = ("accelerated by ", "steps are recorded ", "steps are not recorded: ", "steps are no longer recorded: ")
"""How the notes of this package begin."""


@frozen
class Choice:
    """A plug that was asked: its name, what it does, and why it does not apply; None where it was taken."""

    name: str
    does: str
    declined: str | None


def accelerate(step: Step, training: Training) -> list[Choice]:
    """Install into a step the accelerations that apply to it.

    Returns:
        all of the list, in its order, with what was decided.

    Raises:
        SpecError: the spec names one that does not apply, or leaves no room for one that another key asks for.
    """
    found = choices(step, training)
    for choice in found:
        if choice.declined is None:
            ACCELERATIONS[choice.name](step, training)
    return found


def choices(step: Step, training: Training) -> list[Choice]:
    """What `accelerate` would decide. Raises as it does."""
    _check_room(training)
    found = []
    for name, plug in ACCELERATIONS.items():
        reason = _unwanted(name, training) or plug.declines(step, training)
        if reason is not None and name in training.acceleration and training.acceleration not in ("auto", "none"):
            raise SpecError(f"training.acceleration: {name} does not apply: {reason}; use auto, or leave it out")
        found.append(Choice(name, plug.does, reason))
    return found


def summary(found: Sequence[Choice]) -> str:
    """Which accelerations were taken, and why the others were not, in two sentences."""
    taken = [choice.name for choice in found if choice.declined is None]
    others = [f"{choice.name} ({choice.declined})" for choice in found if choice.declined is not None]
    return f"accelerated by {', '.join(taken) if taken else 'nothing'}; not by " + ("; ".join(others) or "nothing else")


def concerns_speed(note: str) -> bool:
    """Whether a note is about how fast steps are. It is told after those about results, which it leaves as they are.

    >>> concerns_speed(summary([Choice("compile", "", None)])), concerns_speed("The front is flat: …")
    (True, False)
    """
    return note.startswith(_OF_SPEED)


def _unwanted(name: str, training: Training) -> str | None:
    wanted = training.acceleration
    if wanted == "none":
        return "training.acceleration is none"
    return None if wanted == "auto" or name in wanted else "training.acceleration does not name it"


def _check_room(training: Training) -> None:
    """Raise `SpecError` where `acceleration` excludes what another key asks for."""
    asked = {
        "compile": ("compile", bool(training.compile)),
        "activation_checkpoint": ("recompute", bool(training.recompute)),
        "cuda_graph": ("cuda_graph", training.cuda_graph is True),
    }
    for name, (key, on) in asked.items():
        if on and _unwanted(name, training) is not None:
            raise SpecError(
                f"training.{key} asks for {name}, which training.acceleration leaves out; use auto there, or false here"
            )
