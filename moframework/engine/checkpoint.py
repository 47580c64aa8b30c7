"""Training state on disk: written whole or not at all, read without executing anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from moframework.engine.loop import Loop
from moframework.errors import NON_FINITE_ADVICE, NonFiniteLossError, RunError
from moframework.io.atomic import atomic_write
from moframework.io.tensors import load_plain

__all__ = ["BEST", "LAST", "read_checkpoint", "restore", "save", "write_checkpoint"]

LAST, BEST = "last.pt", "best.pt"
"""Names of a training's checkpoints: everything needed to resume, and the model with the best validation."""

_FORMAT = 1


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, text, and lists and dicts of them) to `path`: the old file stays until the
    new one is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        torch.save({"format": _FORMAT, **state}, partial)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `write_checkpoint` wrote, onto the host.

    Raises:
        RunError: missing, damaged, or of a newer format.
    """
    if not path.is_file():
        raise RunError(f"{path} does not exist: there is nothing to resume. Start the run without --resume.")
    try:
        state: dict[str, Any] = load_plain(path)
    except ValueError as error:
        raise RunError(f"{error}. Start the run anew.") from error
    if state["format"] > _FORMAT:
        raise RunError(f"{path} has format {state['format']}; this version reads up to {_FORMAT}. Update moframework.")
    return state


def save(loop: Loop) -> None:
    """Write everything that a resume needs. Raises `NonFiniteLossError` rather than save broken weights."""
    own = (parameter for group in loop.optimizer.param_groups for parameter in group["params"])
    if loop.world.any_rank(not all(bool(torch.isfinite(parameter).all()) for parameter in own)):
        raise NonFiniteLossError(
            f"step {loop.done}: a weight is not finite although the losses were. {NON_FINITE_ADVICE}"
        )
    loop.sync_buffers()
    loop.step.sync_states()
    state = {
        "step": loop.done,
        "steps": loop.steps,
        "model": loop.model.state_dict(),
        "optimizer": loop.optimizer.state_dict(),
        "scheduler": None if loop.scheduler is None else loop.scheduler.state_dict(),
        "scaler": loop.scaler.state_dict(),
        "balancing": loop.step.state,
        "objective": loop.step.objective_states.state_dict(),
        "seconds": loop.clock.seconds,
        "processor_seconds": loop.clock.processor_seconds,
    }
    if not loop.world.is_rank_zero:
        return
    for hook in loop.hooks:
        state.update(hook.state())
    write_checkpoint(loop.job.folder / LAST, state)
    loop.observer.saved(loop.progress, loop.job.folder / LAST)


def restore(loop: Loop) -> None:
    """Continue where the last checkpoint ended, which only rank 0 needs to see."""
    state = loop.world.from_rank_zero(lambda: read_checkpoint(loop.job.folder / LAST))
    loop.model.load_state_dict(state["model"])
    loop.optimizer.load_state_dict(state["optimizer"])
    if loop.scheduler is not None:
        loop.scheduler.load_state_dict(state["scheduler"])
    loop.scaler.load_state_dict(state["scaler"])
    device = loop.job.place.device
    loop.step.state = [{key: value.to(device) for key, value in part.items()} for part in state["balancing"]]
    loop.step.objective_states.load_state_dict(state["objective"])
    loop.clock.seconds, loop.clock.processor_seconds = state["seconds"], state["processor_seconds"]
    loop.done = state["step"]
    for hook in loop.hooks:
        hook.load(loop, state)
