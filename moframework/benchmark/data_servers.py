"""Fork servers for the cells of several problems: one with the imports, and one more for the data of each problem."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence

from moframework.benchmark.executor import Job
from moframework.benchmark.fork_server import ForkServer

__all__ = ["DataServers"]

_SPEC = "spec.yaml"


class DataServers:
    """A `ForkServer`, and those that it forks to hold the data of problems; used as a context manager.

    Args:
        environment: of all servers, and of what reads the data.
        most: how many hold data at a time.
        limit: seconds that reading may take; then it is left to the cells.
    """

    def __init__(self, environment: Mapping[str, str], most: int, limit: float = math.inf) -> None:
        self._root, self._environment, self._most = ForkServer(environment), environment, most
        self._limit = limit
        self._by_data: dict[str, ForkServer] = {}
        self._since: dict[str, float] = {}
        self._failed: set[str] = set()

    def __enter__(self) -> DataServers:
        return self

    def __exit__(self, *error: object) -> None:
        """End all servers, and with them what still runs."""
        for server in self._by_data.values():
            server.__exit__(*error)
        self._root.__exit__(*error)

    def of(self, job: Job, waiting: Sequence[Job], running: Sequence[Job]) -> ForkServer | None:
        """The server that a job is to be forked from now: one that holds its data; the one without any where it cannot
        be read, the job is the only one that needs it, or too many hold other data. None: it is being read now.

        Args:
            job: what is to be started.
            waiting: the jobs that are not started yet.
            running: those that are.
        """
        data = job.data
        if data is None or data in self._failed or not self._root.alive:
            return self._root
        if data not in self._by_data:
            needed = [one.data for one in (*waiting, *running)]
            if sum(one.data == data for one in waiting) < 2 or not self._room(needed):
                return self._root
            self._by_data[data] = self._root.with_data(job.folder / _SPEC, self._environment)
            self._since[data] = time.monotonic()
        if self._reads(data):
            return None
        return self._by_data.get(data, self._root)

    def _reads(self, data: str) -> bool:
        """Whether a server still reads this; one that has failed, or reads for too long, is ended."""
        server = self._by_data[data]
        if server.alive and (server.ready or time.monotonic() < self._since[data] + self._limit):
            return not server.ready
        self._failed.add(data)
        self._end(data)
        return False

    def _room(self, needed: Collection[str | None]) -> bool:
        """Make room for one more that holds data: end the oldest ones that no job needs. One that is needed is never
        ended, or servers that still read would take each other's place for ever."""
        for data in [one for one in self._by_data if one not in needed]:
            if len(self._by_data) >= self._most:
                self._end(data)
        return len(self._by_data) < self._most

    def _end(self, data: str) -> None:
        self._by_data.pop(data).__exit__()
