"""Training state on disk: written whole or not at all, read without executing anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from moframework.engine.loop import Loop
from moframework.errors import DamagedFileError, NewerFormatError, RunError
from moframework.io.atomic import keep_as
from moframework.io.sealed import verify_zip
from moframework.io.tensors import load_plain, save_plain

__all__ = ["BEST", "LAST", "exists", "previous", "read_checkpoint", "recover", "restore", "save", "write_checkpoint"]

LAST, BEST = "last.pt", "best.pt"
"""Names of a training's checkpoints: everything needed to resume, and the model with the best validation. Of each the
one before it is kept too (`previous`)."""

_FORMAT = 2  # the first with a checksum
_ADVICE = "Bring the file back from a copy, or start a new run with another --out."


def previous(path: Path) -> Path:
    """Where the checkpoint that was at `path` before the present one is kept: `last.previous.pt`."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def exists(path: Path) -> bool:
    """Whether there is a checkpoint of this name, or the one before it."""
    return path.is_file() or previous(path).is_file()


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, text, and lists and dicts of them) to `path` with a checksum: the old file stays
    until the new one is whole, and then as `previous(path)`."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def keep() -> None:
        if path.is_file():
            keep_as(path, previous(path))

    save_plain(path, {"format": _FORMAT, **state}, before=keep)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `write_checkpoint` wrote, onto the host.

    Raises:
        NewerFormatError: of a newer format.
        DamagedFileError: it is missing, damaged or something else.
    """
    sealed = verify_zip(path, advice=_ADVICE)
    try:
        state = load_plain(path)
    except ValueError as error:
        raise DamagedFileError(f"{error}. {_ADVICE}") from error
    number = state.get("format") if isinstance(state, dict) else None
    if not isinstance(number, int) or "model" not in state:
        raise DamagedFileError(f"{path} is no checkpoint of a training. {_ADVICE}")
    if number > _FORMAT:
        raise NewerFormatError(f"{path} has format {number}; this version reads up to {_FORMAT}. Update moframework.")
    if number >= 2 and not sealed:
        raise DamagedFileError(f"{path} has lost its checksum: it is damaged. {_ADVICE}")
    return dict(state)


def recover(path: Path, noted: Callable[[str], None]) -> dict[str, Any]:
    """Read the checkpoint at `path`, or where that is damaged the one before it, so that nothing more is lost.

    The damaged one is set aside as `last.damaged.pt`, and `noted` is told.

    Raises:
        RunError: there is neither.
        DamagedFileError: neither can be read; the text names both, which stay where they are.
    """
    before = previous(path)
    if not exists(path):
        raise RunError(f"{path} does not exist: there is nothing to resume. Start the run without --resume.")
    try:
        return read_checkpoint(path)
    except DamagedFileError as error:
        if not before.is_file():
            raise
        reason = str(error).removesuffix(_ADVICE).strip()
        try:
            state = read_checkpoint(before)
        except DamagedFileError as other:
            raise DamagedFileError(f"{reason} And the one before it: {other}") from other
    if path.is_file():
        aside = path.with_name(f"{path.stem}.damaged{path.suffix}")
        path.replace(aside)
        reason += f" It is kept as {aside.name}."
    noted(f"{reason} The checkpoint before it is used{_step(state)}: {before.name}")
    return state


def _step(state: dict[str, Any]) -> str:
    return f", of step {state['step']}" if "step" in state else ""


def save(loop: Loop) -> None:
    """Write everything that a resume needs. Raises `NonFiniteLossError` rather than save broken weights."""
    own = (parameter for group in loop.optimizer.param_groups for parameter in group["params"])
    if loop.world.any_rank(not all(bool(torch.isfinite(parameter).all()) for parameter in own)):
        raise loop.job.on_nonfinite.weights(loop)
    loop.sync_buffers()
    loop.step.partition.sync_states(loop.step.objective_states)
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


def _check_length(loop: Loop, done: int, steps: int) -> None:
    """Say what it means that a training has another length than its checkpoint was to have. Raises `RunError` where it
    is shorter than what is done."""
    if done > loop.steps:
        raise RunError(
            f"the training has {loop.steps} steps, but {done} are done already: let it train as long or longer"
        )
    if steps != loop.steps:
        loop.observer.noted(
            f"this training was to have {steps} steps and now has {loop.steps}, of which {done} are done. What follows "
            f"its course (learning rates, preferences, averages, freezing) is from here on that of {loop.steps} steps; "
            "patience of early stopping begins anew. The weights so far come from the former course, so the result is "
            "not that of a training of this length from the start"
        )


def restore(loop: Loop) -> None:
    """Continue where the last checkpoint ended, which only rank 0 needs to see."""
    state = loop.world.from_rank_zero(lambda: recover(loop.job.folder / LAST, loop.observer.noted))
    try:
        _load(loop, state)
    except (RuntimeError, LookupError, TypeError, ValueError) as error:
        raise RunError(
            f"the checkpoint in {loop.job.folder} is not of this training: {type(error).__name__}: {error}. It was "
            "made by another spec, or by another version of a part. Start a new run with another --out."
        ) from error


def _load(loop: Loop, state: dict[str, Any]) -> None:
    _check_length(loop, state["step"], state["steps"])
    loop.model.load_state_dict(state["model"])
    loop.sync_buffers.reset()
    loop.optimizer.load_state_dict(state["optimizer"])
    if loop.scheduler is not None:
        loop.scheduler.load_state_dict(state["scheduler"], same_length=state["steps"] == loop.steps)
    loop.scaler.load_state_dict(state["scaler"])
    device = loop.job.place.device
    loop.step.state = [{key: value.to(device) for key, value in part.items()} for part in state["balancing"]]
    loop.step.objective_states.load_state_dict(state["objective"])
    loop.clock.seconds, loop.clock.processor_seconds = state["seconds"], state["processor_seconds"]
    loop.done = state["step"]
    for hook in loop.hooks:
        hook.load(loop, state)
