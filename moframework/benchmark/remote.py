"""How cells are run by workers that can be lost: the loop that executors for clusters share.

A cluster plugs in by two small classes, `Cluster` and `Handle`. What is common is here: how many run at a time, tries,
requests to stop.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Protocol

from attrs import define, frozen

from moframework.benchmark.attempt import gather, is_done
from moframework.benchmark.executor import Job, Outcome

__all__ = ["Cluster", "Handle", "Lost", "drive"]

_PAUSE = 0.2  # seconds between two looks at the workers
_BEYOND = 30.0  # seconds that a worker has beyond the grace of its cell
_STOPPED = 130


@frozen
class Lost:
    """A worker has died, or was ended by somebody else, before its cell had ended."""

    reason: str
    """In words, from the cluster."""


class Handle(Protocol):
    """A try that was handed to a cluster."""

    def begun(self) -> bool:
        """Whether a worker has it, rather than that it waits for one. Asked until it says yes."""

    def poll(self) -> Outcome | Lost | None:
        """How it has ended; None while it waits or runs."""

    def stop(self) -> None:
        """Ask the cell to save and end, without waiting for it; one that waits for a worker is withdrawn."""

    def kill(self) -> None:
        """End it now, and free what it holds; also called, once, for each try that has ended."""


class Cluster(Protocol):
    """Where tries are handed to."""

    def room(self) -> int:
        """How many tries may be there at a time, waiting ones included."""

    def submit(self, job: Job) -> Handle:
        """Hand over a try; or take up the one that an earlier driver has left, where it is still there."""


@define(eq=False)
class _Try:
    job: Job
    handle: Handle
    number: int
    since: float
    begun: bool = False


@define
class _Drive:
    """The state of one round."""

    cluster: Cluster
    tries: int
    grace: float
    started: Callable[[Job], None]
    waiting: deque[tuple[Job, int]]
    running: list[_Try]
    asked: float | None = None

    def fill(self) -> None:
        """Hand over what there is room for."""
        room = self.cluster.room() if self.waiting else 0
        while self.waiting and len(self.running) < room:
            job, number = self.waiting.popleft()
            self.running.append(_Try(job, self.cluster.submit(job), number, time.monotonic()))

    def end(self) -> None:
        """Start nothing more, ask all to end, once, and kill those for which `grace` and a little was too little."""
        self.waiting.clear()
        if self.asked is None:
            self.asked = time.monotonic()
            for one in self.running:
                one.handle.stop()
        late = time.monotonic() > self.asked + self.grace + _BEYOND
        for one in self.running if late else ():
            one.handle.kill()

    def look(self) -> Generator[Outcome, None, None]:
        """Yield what has ended; what was lost is handed over once more, or has failed."""
        for one in list(self.running):
            if not one.begun and one.handle.begun():
                one.begun = True
                if one.number == 1:
                    self.started(one.job)
            found = one.handle.poll()
            if found is None:
                continue
            self.running.remove(one)
            one.handle.kill()
            ended = self._ended(one, found)
            if ended is not None:
                yield ended

    def _ended(self, one: _Try, found: Outcome | Lost) -> Outcome | None:
        """The outcome of the cell; None when it is tried again."""
        if isinstance(found, Outcome) and found.code < 0 and not found.late:
            found = Lost(f"its process was killed by signal {-found.code}, perhaps for want of memory")
        elif isinstance(found, Outcome) and found.code == _STOPPED and not found.late and self.asked is None:
            found = Lost("its worker was asked to end")
        if isinstance(found, Outcome):
            return found
        seconds = time.monotonic() - one.since
        if is_done(one.job.folder):  # the worker died after its work
            return Outcome(job=one.job, code=0, seconds=seconds)
        if self.asked is not None:
            return Outcome(job=one.job, code=_STOPPED, seconds=seconds)
        text = f"try {one.number} of {self.tries} was lost: {found.reason}"
        with one.job.log.open("a", encoding="utf-8") as log:
            log.write(f"[moframework] {text}\n")
        if one.number < self.tries:
            self.waiting.appendleft((one.job, one.number + 1))
            return None
        gather(one.job)
        return Outcome(job=one.job, code=1, seconds=seconds, said=text)


def drive(
    cluster: Cluster,
    jobs: Sequence[Job],
    *,
    tries: int,
    grace: float,
    started: Callable[[Job], None],
    stop: Callable[[], bool],
) -> Generator[Outcome, None, None]:
    """Run jobs on a cluster, as `Executor.run` says.

    A try is lost when its worker dies, when the cell's process is killed by a signal, or when the cluster asks it to
    end, as for preemption. Then the next one goes on from what it had saved. A cell that ends by itself with an error
    is not tried again: it would end so again.

    Args:
        cluster: where to.
        jobs: what to run; earlier ones are handed over first.
        tries: how often a cell is begun before it counts as failed.
        grace: seconds that cells have to end after a request to stop.
        started, stop: as of `Executor.run`.
    """
    state = _Drive(cluster, tries, grace, started, deque((job, 1) for job in jobs), [])
    try:
        while state.waiting or state.running:
            if stop():
                state.end()
            state.fill()
            ended = list(state.look())
            yield from ended
            if not ended:
                time.sleep(_PAUSE)
    finally:
        for one in state.running:
            with contextlib.suppress(Exception):  # of a cluster that is gone, too: the others are to be killed
                one.handle.kill()
        for one in state.running:
            gather(one.job)
