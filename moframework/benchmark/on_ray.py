"""Cells on a cluster of Ray (https://github.com/ray-project/ray, Apache-2.0), which is optional:
`pip install 'moframework[ray]'`."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from attrs import define, frozen

from moframework.benchmark.attempt import Attempt, forwarded
from moframework.benchmark.executor import Executor, Job, Outcome, available_cores
from moframework.benchmark.remote import Lost, drive
from moframework.config import config, option
from moframework.errors import RunError

__all__ = ["Ray"]

_NAMESPACE = "moframework"
_STORE = 80 * 2**20  # bytes of the object store of a local cluster: no results travel through it
_STARTS = 4  # of a local cluster, which on a busy machine may not be there within the 30 seconds that Ray gives it
_LINGER = 60.0  # seconds that a worker is there after its try has ended, for a driver to ask how


@config
class Ray(Executor):
    """Workers of a Ray cluster, one for each cell: an existing cluster, or one on this machine for the time it takes.

    Ray places a cell where its `cpus`, `gpus` and `memory` are free, and counts with what is stated: it does not hold a
    cell to it, but for the threads of numerical libraries and the GPUs that it sees. The benchmark's folder must lie on
    a disk that all machines share. Needs the extra: `pip install 'moframework[ray]'`.

    A worker that dies is a lost try of its cell; the next one goes on from the last checkpoint. On an existing cluster
    cells go on when the benchmark is killed; the same command takes them up again.

    Four cells share a GPU, on the cluster that this machine is part of::

        executor: {name: ray, address: auto, cpus: 2, gpus: 0.25}
    """

    address: str | None = option(
        None, help="of an existing cluster: `auto` for that of this machine, HOST:PORT, or ray://HOST:PORT; none: one "
        "on this machine, which ends with the benchmark",
    )  # fmt: skip
    jobs: int | None = option(
        None, ge=1, le=100_000, help="cells at a time, waiting ones included, which make a cluster grow that can; "
        "none: as many as it has room for",
    )  # fmt: skip
    cpus: float = option(1.0, gt=0, help="processors of a cell")
    gpus: float = option(0.0, ge=0, help="GPUs of a cell; a fraction shares one")
    memory: float | None = option(None, gt=0, help="GiB of memory of a cell; none: not counted with")
    threads: int | None = option(None, ge=1, le=1024, help="threads of a cell; none: as many as its processors")
    tries: int = option(3, ge=1, le=100, help="how often a cell is begun whose workers die, until it has failed")
    grace: float = option(60.0, ge=0, help="seconds that a cell has to end by itself after a request to stop")
    limit: float | None = option(
        None, gt=0, help="seconds that a try may take; then it is asked to end, saves, and its cell counts as failed"
    )

    def run(
        self, jobs: Sequence[Job], *, started: Callable[[Job], None], stop: Callable[[], bool]
    ) -> Generator[Outcome, None, None]:
        """See `Executor.run`.

        Raises:
            RunError: Ray is not installed, the cluster cannot be reached, or has no machine for such a cell.
        """
        with _connected(self.address):
            cluster = _RayCluster(self)
            yield from drive(cluster, jobs, tries=self.tries, grace=self.grace, started=started, stop=stop)

    def parallel(self) -> int | None:
        """See `Executor.parallel`: what is known without asking a cluster."""
        if self.jobs is not None or self.address is not None:
            return self.jobs
        return max(1, int(available_cores() // self.cpus))


@contextlib.contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """While inside, this process is a driver of the cluster; of one that it is a driver of already, it stays one."""
    if find_spec("ray") is None:
        raise RunError("the executor ray needs Ray, which is not installed: pip install 'moframework[ray]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else it reports to its makers
    import ray

    if ray.is_initialized():
        yield
        return
    _connect(address)
    try:
        yield
    finally:
        ray.shutdown()


def _connect(address: str | None) -> None:
    import ray

    # `local`, for without an address Ray joins the cluster that RAY_ADDRESS or an earlier `ray start` has left.
    options: dict[str, Any] = {"address": address}
    if address is None:
        options = {"address": "local", "include_dashboard": False, "object_store_memory": _STORE}
    left = _STARTS if address is None else 1
    while True:
        try:
            with _own_signals():
                ray.init(namespace=_NAMESPACE, log_to_driver=False, configure_logging=False, **options)
            return
        except Exception as error:  # ConnectionError, ValueError, RuntimeError, grpc's own: by address and version
            ray.shutdown()
            left -= 1
            if left == 0 or "timed out during startup" not in str(error):
                where = "a cluster on this machine" if address is None else f"the cluster at {address}"
                raise RunError(f"executor: Ray cannot reach {where}: {_first(error)}") from error


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handlers of signals: Ray's `init` puts in one for SIGTERM that ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Worker:
    """Runs one try, as an actor of Ray with a process of its own. It outlives its driver, but not the end of its work
    without one.

    An actor rather than a task: Ray begins tasks anew that a dying worker has left, three times and without a word, and
    a task hears of no request to stop.
    """

    def __init__(self, attempt: Attempt, linger: float = _LINGER) -> None:
        self._stopped, self._ended, self._linger = threading.Event(), threading.Event(), linger
        self._outcome: Outcome | None = None
        threading.Thread(target=self._run, args=(attempt,), name="moframework-try", daemon=True).start()

    def _run(self, attempt: Attempt) -> None:
        try:
            self._outcome = attempt.run(self._stopped.is_set)
        except Exception as error:
            self._outcome = Outcome(job=attempt.job, code=1, seconds=0.0, said=f"{type(error).__name__}: {error}")
        self._ended.set()
        time.sleep(self._linger)  # a driver that is there has read the outcome by now, and ended this process
        os._exit(0)

    def begun(self) -> bool:
        """Answers once there is a worker."""
        return True

    def outcome(self) -> Outcome | None:
        """Answers once the try has ended. It may be asked by several drivers."""
        self._ended.wait()
        return self._outcome

    def stop(self) -> None:
        """Ask the cell to end."""
        self._stopped.set()


@frozen
class _RayCluster:
    """A cluster that this process is connected to."""

    options: Ray

    def room(self) -> int:
        """See `Cluster.room`."""
        if self.options.jobs is not None:
            return self.options.jobs
        import ray

        known: Any = ray  # which leaves this function without types
        nodes = [node["Resources"] for node in known.nodes() if node["Alive"]]
        room = sum(self._fitting(node) for node in nodes)
        if room == 0:
            found = "; ".join(
                f"{node.get('CPU', 0):g} processors, {node.get('GPU', 0):g} GPUs and "
                f"{node.get('memory', 0) / 2**30:.1f} GiB"
                for node in nodes
            )
            raise RunError(
                f"executor: no machine of the cluster has what a cell asks for ({self._asked()}); there are: {found}. "
                "Where the cluster grows on demand, say how many cells at a time: --jobs N"
            )
        return room

    def submit(self, job: Job) -> _RayHandle:
        """See `Cluster.submit`."""
        import ray

        name = f"{job.folder.name}-{hashlib.sha256(str(job.folder).encode()).hexdigest()[:16]}"
        with contextlib.suppress(ValueError):  # there is none
            return _RayHandle(ray.get_actor(name, namespace=_NAMESPACE))
        own = self.options
        attempt = Attempt(
            job=job, threads=own.threads or max(1, math.ceil(own.cpus)), hide_gpus=own.gpus == 0, limit=own.limit,
            grace=own.grace, environment=forwarded(), place=Path.cwd(),
        )  # fmt: skip
        worker = ray.remote(_Worker).options(
            name=name, namespace=_NAMESPACE, lifetime="detached", max_restarts=0, max_task_retries=0,
            max_concurrency=16, num_cpus=own.cpus, num_gpus=own.gpus,
            **({} if own.memory is None else {"memory": int(own.memory * 2**30)}),
        )  # fmt: skip
        return _RayHandle(worker.remote(attempt, _LINGER))

    def _fitting(self, node: dict[str, float]) -> int:
        """How many cells a machine has room for, others' work aside."""
        own = self.options
        asked = {"CPU": own.cpus, "GPU": own.gpus, "memory": (own.memory or 0) * 2**30}
        return min(int(node.get(what, 0) // amount) for what, amount in asked.items() if amount > 0)

    def _asked(self) -> str:
        own = self.options
        return f"cpus {own.cpus:g}, gpus {own.gpus:g}" + ("" if own.memory is None else f", memory {own.memory:g} GiB")


@define
class _RayHandle:
    """A worker, new or found."""

    actor: Any
    _begun: Any = None
    _outcome: Any = None

    def begun(self) -> bool:
        """See `Handle.begun`."""
        import ray

        self._begun = self._begun or self.actor.begun.remote()
        return bool(ray.wait([self._begun], timeout=0)[0])

    def poll(self) -> Outcome | Lost | None:
        """See `Handle.poll`."""
        import ray

        self._outcome = self._outcome or self.actor.outcome.remote()
        if not ray.wait([self._outcome], timeout=0)[0]:
            return None
        try:
            found = ray.get(self._outcome)
        except ray.exceptions.RayError as error:
            return Lost(_first(error))
        return found if isinstance(found, Outcome) else Lost("it has told no outcome")

    def stop(self) -> None:
        """See `Handle.stop`."""
        if self.begun():
            self.actor.stop.remote()
        else:
            self.kill()

    def kill(self) -> None:
        """See `Handle.kill`."""
        import ray

        ray.kill(self.actor)


def _first(error: Exception) -> str:
    """The line of Ray's long messages that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = next((line for line in lines if "dead because" in line or "exit detail" in line), "")
    text = told or (lines[0] if lines else type(error).__name__)
    return text if len(text) <= 300 else f"{text[:300]}…"
