"""`Batcher`: requests with preferences of their own go through the network together, in one thread."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from attrs import define, field

__all__ = ["Batcher", "Work"]

A = TypeVar("A")


@define(eq=False)
class Work(Generic[A]):
    """One request on its way through the thread.

    Attributes:
        asked: what is computed.
        samples: how many it has.
        answer: set by the event loop.
        dropped: nobody waits for it any more.
    """

    asked: A
    samples: int
    answer: asyncio.Future[Any]
    dropped: bool = field(default=False)


class Batcher(Generic[A]):
    """One thread that computes answers, several requests at a time.

    While it computes, requests queue up, and the next pass takes all of them, up to `max_batch` samples. Where fewer
    are there than the pass before had, with those that waited meanwhile, it waits for the others to come again, at most
    `max_wait` seconds; a request that comes alone after one that came alone waits for nobody. So the delay is paid only
    where it gains something.

    Args:
        compute: takes what is asked, a list, and returns an answer or an exception for each.
        max_batch: samples at a time. A request with more goes through alone.
        max_wait: seconds.
        observe: is told the requests and samples of each pass, and its seconds.
    """

    def __init__(
        self,
        compute: Callable[[list[A]], Sequence[Any]],
        max_batch: int,
        max_wait: float,
        observe: Callable[[int, int, float], None] = lambda requests, samples, seconds: None,
    ) -> None:
        self._compute, self._max_batch, self._max_wait, self._observe = compute, max_batch, max_wait, observe
        self._queue: queue.SimpleQueue[Work[A] | None] = queue.SimpleQueue()
        self._held: Work[A] | None = None
        self._company = 1
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """Requests in the queue, nearly."""
        return self._queue.qsize()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; answers are set in this loop."""
        self._loop = loop
        self._thread = threading.Thread(target=self._run, name="moframework-serve", daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """End the thread after what is queued, and wait so long for it at most; whether it ended."""
        if self._thread is None:
            return True
        self._queue.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    async def answer(self, asked: A, samples: int) -> Any:
        """What is computed; an exception that stands for it is raised. May be cancelled."""
        future = asyncio.get_running_loop().create_future()
        work = Work(asked, samples, future)
        self._queue.put(work)
        try:
            return await future
        finally:
            work.dropped = True

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            batch = [work for work in batch if not work.dropped]
            if not batch:
                continue
            started = time.perf_counter()
            try:
                answers = self._compute([work.asked for work in batch])
            except Exception as error:  # the thread must not end; whoever waits is told
                answers = [error] * len(batch)
            self._company = len(batch) + self._queue.qsize()  # those that are answered may come again
            self._observe(len(batch), sum(work.samples for work in batch), time.perf_counter() - started)
            self._deliver(batch, answers)

    def _next_batch(self) -> list[Work[A]] | None:
        """What goes through the network next; None: nothing any more."""
        first = self._held or self._queue.get()
        self._held = None
        if first is None:
            return None
        batch, samples = [first], first.samples
        latest = time.perf_counter() + self._max_wait
        while samples < self._max_batch:
            more = self._more(latest if len(batch) < self._company else 0.0)
            if more is None:
                break
            if samples + more.samples > self._max_batch:
                self._held = more
                break
            batch.append(more)
            samples += more.samples
        return batch

    def _more(self, latest: float) -> Work[A] | None:
        """The next of the queue, or None where there is none until then."""
        try:
            left = latest - time.perf_counter()
            found = self._queue.get(timeout=left) if left > 0 else self._queue.get_nowait()
        except queue.Empty:
            return None
        if found is None:
            self._queue.put(None)  # the end comes after this batch
        return found

    def _deliver(self, batch: Sequence[Work[A]], answers: Sequence[Any]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(_set_all, batch, answers)
        except RuntimeError:  # the loop is closed: the server has stopped waiting
            return


def _set_all(batch: Sequence[Work[Any]], answers: Sequence[Any]) -> None:
    for work, answer in zip(batch, answers, strict=True):
        if work.answer.done():
            continue
        if isinstance(answer, BaseException):
            work.answer.set_exception(answer)
        else:
            work.answer.set_result(answer)
