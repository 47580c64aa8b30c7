"""`fit`: a job to a trained model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from attrs import frozen

from moframework.engine.acceleration import summary
from moframework.engine.checkpoint import restore
from moframework.engine.distributed.sync_batchnorm import synchronized
from moframework.engine.events import Observer
from moframework.engine.job import Job
from moframework.engine.loop import Hook, Loop
from moframework.engine.milestones import make_hooks
from moframework.errors import InterruptedRun
from moframework.processes.world import World

__all__ = ["UNTRAINED", "Fit", "Job", "fit"]


@frozen(kw_only=True)
class Fit:
    """What a finished training reports: steps, those of them that were skipped (`training.on_nonfinite`), best
    validation hypervolume (None without validation), seconds and processor seconds spent in training steps (validation
    and checkpoints left out, resumed parts included).

    Processor seconds are those of all threads of this process: unlike seconds they hardly depend on what else the
    machine does, but they leave out an accelerator, and other processes of the run. The first step of a compiled
    network counts in neither: it is what compiling took, None where nothing was compiled."""

    steps: int
    skipped_steps: int
    best_hypervolume: float | None
    training_seconds: float
    processor_seconds: float
    compile_seconds: float | None


UNTRAINED = Fit(
    steps=0, skipped_steps=0, best_hypervolume=None, training_seconds=0, processor_seconds=0, compile_seconds=None
)


def fit(
    job: Job,
    *,
    observer: Observer | None = None,
    resume: bool = False,
    stop: Callable[[], bool] = lambda: False,
    world: World | None = None,
    around: Callable[[Loop, list[Hook]], list[Hook]] = lambda loop, hooks: hooks,
) -> Fit:
    """Train a job's model in place.

    Args:
        resume: continue from the job's `last.pt`.
        stop: asked after every step; True, of any process, saves and raises `InterruptedRun` in all.
        world: the processes that train together, each calling this with the same arguments but `place`, `stop` and
            `observer`; the first one writes. None: this one alone.
        around: gives the hooks of the training from those it has by itself, before anything is resumed.

    Raises:
        NonFiniteLossError: a loss or weight is not finite, or too many steps are skipped; earlier checkpoints stay.
        InterruptedRun: `stop` said so.
        DataError: fewer samples than a batch needs.
        SpecError: fewer preferences than processes to spread them over; an acceleration that is named does not apply.
        RunError: nothing to resume, or a damaged checkpoint.
    """
    if not resume and world is not None:
        world.broadcast([*job.model.parameters(), *job.model.buffers()])
    loop = Loop(job, observer, world)
    loop.hooks = around(loop, make_hooks(loop, stop))
    if resume:
        restore(loop)
    _run(loop)
    return Fit(
        steps=loop.done,
        skipped_steps=loop.skipped_steps,
        best_hypervolume=loop.best_hypervolume,
        training_seconds=loop.clock.seconds,
        processor_seconds=loop.clock.processor_seconds,
        compile_seconds=loop.compile_seconds,
    )


def _run(loop: Loop) -> None:
    """Train to the end, or until somebody asks to stop."""
    loop.observer.started(loop.progress)
    loop.observer.noted(summary(loop.choices))
    loop.model.train()
    with _surroundings(loop):
        for x, targets in loop.batches():
            loop.train_step(x, targets)
            if loop.ends:
                break
    if loop.stopping and not loop.at_end:
        raise InterruptedRun(f"stopped at step {loop.done} of {loop.steps}, as asked; everything is saved")
    for hook in loop.hooks:
        hook.finished(loop)
    loop.unshard()
    loop.observer.finished(loop.progress)


@contextlib.contextmanager
def _surroundings(loop: Loop) -> Iterator[None]:
    """While inside, torch's random generators are the training's own, and BatchNorm sees what the spec says."""
    device, training = loop.job.place.device, loop.training
    together = loop.partition.shards_batch and training.distributed.batchnorm == "synchronized"
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        synchronized(loop.model.skeleton, loop.world) if together else contextlib.nullcontext(),
    ):
        yield
