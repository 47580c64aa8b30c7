"""Where the time of a run goes: phases by the clock, and parts of a training step from a few that are looked at.

Dividing a step needs the device to be waited for between its parts, which would slow every step down. So ten steps
of a process are divided, from the third on, and their shares are those of all its training. Afterwards nothing of the
measurement is left in the loop. Numbers that training draws or computes are the same with and without it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch

from moframework.engine.around import Around
from moframework.engine.loop import Hook, Loop
from moframework.engine.milestones import Checkpoints, Validation

__all__ = ["HOW", "PARTS", "Timing"]

FIRST, LAST = 3, 12
"""Steps of a process that are divided; the first ones compile, choose and warm up."""

PARTS = {
    "start_up": "reading the data, making the network and the optimizer, reading a checkpoint",
    "data": "waiting for batches, transfer and augmentation included",
    "forward": "θ(λ), the network and the losses",
    "backward": "gradients",
    "forward_and_backward": "both, where a recorded or compiled step cannot be divided",
    "optimizer": "the optimizer's step, with what is done to gradients before it",
    "between": "the rest of the steps: preferences, random generators, averages, reading losses",
    "undivided": "steps of a process that took too few to divide one",
    "compiling": "the first step of each process, where the network is compiled",
    "proposing": "choosing the points of a search, and its model",
    "function": "evaluations of the function that is searched",
    "evaluation": "the untrained network's losses, validation, and the fronts at the end",
    "writing": "checkpoints, model, fronts and picture",
    "other": "shuffling, logs and what no other row has",
}
"""Parts of the wall-clock time, and what each holds."""

HOW = (
    "Phases are measured by the clock. Steps are divided by their shares in up to ten steps of each process, from the "
    "third on, with the device waited for between the parts: the time of torch.autograd.backward and "
    "torch.autograd.grad is backward, the rest of the step's computation forward."
)


class Timing:
    """Takes the time of one process of a run, and adds that of earlier ones, which a checkpoint carries.

    Attributes:
        processes: that worked on this run one after the other, this one included.
        complete: whether the times of all of them are known.
        sampled_steps: how many steps of this process were divided.
    """

    def __init__(self) -> None:
        self.processes, self.complete, self.sampled_steps = 1, True, 0
        self._began = self._starting = time.perf_counter()
        self._phases = dict.fromkeys(("start_up", "evaluation", "writing", "proposing", "function"), 0.0)
        self._shares: dict[str, float] = {}
        self._earlier: dict[str, float] = {}
        self._earlier_training = 0.0
        self._loop: Loop | None = None

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what happens inside as `start_up`, `evaluation`, `writing`, `proposing` or `function`."""
        since = time.perf_counter()
        try:
            yield
        finally:
            self._phases[name] += time.perf_counter() - since

    def starting(self) -> None:
        """Training is about to be prepared, which counts as `start_up`."""
        self._starting = time.perf_counter()

    def around(self, loop: Loop, hooks: list[Hook]) -> list[Hook]:
        """The hooks of a training, with those of this measurement: see `engine.fit`."""
        self._loop = loop
        self._prepared()
        phases: dict[type[Hook], str] = {Validation: "evaluation", Checkpoints: "writing"}
        timed = [_Timed(hook, self, phases[type(hook)]) if type(hook) in phases else hook for hook in hooks]
        return [_Carried(self), *timed, _Sampler(self)]

    def spent(self) -> float:
        """Seconds of this process in phases so far."""
        return sum(self._phases.values())

    def sampled(self, step: dict[str, float]) -> None:
        """Add a step that was divided: seconds by part."""
        self.sampled_steps += 1
        for part, seconds in step.items():
            self._shares[part] = self._shares.get(part, 0.0) + seconds

    def seconds(self) -> dict[str, float]:
        """Seconds by part, in the order of `PARTS`, parts without any left out; they add up to the wall-clock time of
        all processes."""
        found = {**self._phases, **self._training()}
        found["other"] = max(time.perf_counter() - self._began - sum(found.values()), 0.0)
        for part, seconds in self._earlier.items():
            found[part] = found.get(part, 0.0) + seconds
        return {part: found[part] for part in PARTS if found.get(part, 0.0) > 0}

    def state(self) -> dict[str, Any]:
        """What a checkpoint carries."""
        return {"timing": {"seconds": self.seconds(), "processes": self.processes, "complete": self.complete}}

    def load(self, loop: Loop, state: dict[str, Any]) -> None:
        """Go on from a checkpoint; one of an earlier version carries no times."""
        self._prepared()
        carried = state.get("timing")
        self._earlier_training = loop.clock.seconds
        self.processes, self.complete = 2, False
        if carried is not None:
            self._earlier = {str(part): float(seconds) for part, seconds in carried["seconds"].items()}
            self.processes, self.complete = int(carried["processes"]) + 1, bool(carried["complete"])

    def _prepared(self) -> None:
        now = time.perf_counter()
        self._phases["start_up"] += now - self._starting
        self._starting = now

    def _training(self) -> dict[str, float]:
        """Seconds of this process's training steps, by part."""
        if self._loop is None:
            return {}
        seconds = max(self._loop.clock.seconds - self._earlier_training, 0.0)
        whole = sum(self._shares.values())
        parts = {part: seconds * share / whole for part, share in self._shares.items()} if whole > 0 else {}
        compiling = self._loop.compile_seconds
        return {**(parts or {"undivided": seconds}), **({} if compiling is None else {"compiling": compiling})}


class _Timed(Around):
    """Another hook, which is called at milestones, with its time counted as a phase."""

    def __init__(self, hook: Hook, timing: Timing, phase: str) -> None:
        super().__init__(hook)
        self.timing, self.phase = timing, phase

    def after_step(self, loop: Loop) -> None:
        with self.timing.phase(self.phase):
            self.hook.after_step(loop)


class _Carried(Hook):
    """The times as a part of checkpoints."""

    def __init__(self, timing: Timing) -> None:
        self.timing = timing

    def state(self) -> dict[str, Any]:
        return self.timing.state()

    def load(self, loop: Loop, state: dict[str, Any]) -> None:
        self.timing.load(loop, state)


class _Sampler(Hook):
    """Divides a few steps, and then leaves the loop. It comes after all other hooks."""

    every_step = True

    def __init__(self, timing: Timing) -> None:
        self.timing, self.taken = timing, 0
        self.parts: dict[str, float] = {}
        self.since = self.before = 0.0
        self.undo: Callable[[], None] = lambda: None

    def after_step(self, loop: Loop) -> None:
        self.taken += 1
        if self.taken >= FIRST:
            _wait(loop)
            self._add(loop, time.perf_counter())
        if self.taken == LAST or loop.ends:
            self.undo()
            loop.hooks = [hook for hook in loop.hooks if hook is not self]
        elif self.taken == FIRST - 1:
            self._watch(loop)
        self.parts, self.before = {}, self.timing.spent()
        self.since = time.perf_counter()

    def _add(self, loop: Loop, now: float) -> None:
        """Tell the parts of a step that began to wait for its batch at `since`."""
        whole = now - loop.began - (self.timing.spent() - self.before)
        data = loop.began - self.since
        self.timing.sampled({"data": data, **self.parts, "between": max(whole - sum(self.parts.values()), 0.0)})

    def _watch(self, loop: Loop) -> None:
        """Take the time of what `train_step` calls."""
        step, execute, update = loop.step, loop.step.execute, loop._update
        divided = step.execute == step.run and not loop.training.compile
        step.execute = self._timed(loop, execute, "forward" if divided else "forward_and_backward", divided)
        # The method of this one loop, which hides that of its class.
        vars(loop)["_update"] = self._timed(loop, update, "optimizer", False)

        def undo() -> None:
            step.execute = execute
            del vars(loop)["_update"]

        self.undo = undo

    def _timed(self, loop: Loop, call: Callable[..., Any], part: str, divided: bool) -> Callable[..., Any]:
        """`call`, with its time counted as `part`, and that of going backward as such where it is `divided`."""

        def timed(*arguments: Any) -> Any:
            _wait(loop)
            since, backward = time.perf_counter(), _Backward(loop)
            with backward.watched() if divided else contextlib.nullcontext():
                result = call(*arguments)
            _wait(loop)
            spent = time.perf_counter() - since
            self.parts[part] = self.parts.get(part, 0.0) + spent - backward.seconds
            if divided:
                self.parts["backward"] = self.parts.get("backward", 0.0) + backward.seconds
            return result

        return timed


class _Backward:
    """Seconds in `torch.autograd.backward` and `torch.autograd.grad`, which every way of going backward calls."""

    def __init__(self, loop: Loop) -> None:
        self.loop, self.seconds, self._inside = loop, 0.0, False

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Take the time of both while inside."""
        originals = {name: getattr(torch.autograd, name) for name in ("backward", "grad")}
        for name, function in originals.items():
            setattr(torch.autograd, name, self._timed(function))
        try:
            yield
        finally:
            for name, function in originals.items():
                setattr(torch.autograd, name, function)

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            if self._inside:  # activation checkpointing goes backward on its way back
                return function(*arguments, **options)
            self._inside = True
            _wait(self.loop)
            since = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                _wait(self.loop)
                self.seconds += time.perf_counter() - since
                self._inside = False

        return timed


def _wait(loop: Loop) -> None:
    """Until the device has done what it was given."""
    device = loop.job.place.device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        cast(Any, torch.mps).synchronize()
