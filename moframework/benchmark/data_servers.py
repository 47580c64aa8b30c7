"""Fork servers for the cells of several problems: one with the imports, and one more for the data of each problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from moframework.benchmark.executor import Job
from moframework.benchmark.fork_server import ForkServer

__all__ = ["DataServers"]

_SPEC = "spec.yaml"


class DataServers:
    """A `ForkServer`, and those that it forks to hold the data of problems; used as a context manager.

    Args:
        environment: of all servers, and of what reads the data.
        most: how many hold data at a time.
    """

    def __init__(self, environment: Mapping[str, str], most: int) -> None:
        self._root, self._environment, self._most = ForkServer(environment), environment, most
        self._by_data: dict[str, ForkServer] = {}
        self._failed: set[str] = set()

    def __enter__(self) -> DataServers:
        return self

    def __exit__(self, *error: object) -> None:
        """End all servers, and with them what still runs."""
        for server in self._by_data.values():
            server.__exit__(*error)
        self._root.__exit__(*error)

    def of(self, job: Job, waiting: Sequence[Job], running: Sequence[Job]) -> ForkServer:
        """The server that forks a job: one that has its data, or reads it by now; the one without any where it cannot
        be read, the job is the only one that needs it, or too many hold other data.

        Args:
            job: what is to be started.
            waiting: the jobs that are not started yet.
            running: those that are.
        """
        data = job.data
        if data is None or data in self._failed or not self._root.alive:
            return self._root
        if data not in self._by_data:
            if sum(one.data == data for one in waiting) < 2 or not self._room(running):
                return self._root
            self._by_data[data] = self._root.with_data(job.folder / _SPEC, self._environment)
        server = self._by_data[data]
        if server.alive:
            return server
        self._failed.add(data)
        self._end(data)
        return self._root

    def _room(self, running: Sequence[Job]) -> bool:
        """Make room for one more that holds data: end the oldest ones from which nothing runs."""
        used = {job.data for job in running}
        for data in [one for one in self._by_data if one not in used]:
            if len(self._by_data) >= self._most:
                self._end(data)
        return len(self._by_data) < self._most

    def _end(self, data: str) -> None:
        self._by_data.pop(data).__exit__()
