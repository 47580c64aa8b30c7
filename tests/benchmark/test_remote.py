from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import define, field

from moframework.benchmark.executor import Job, Outcome
from moframework.benchmark.remote import Handle, Lost, drive
from tests.benchmark.test_attempt import attempt_of, job_of


@define
class Threads:
    """A cluster of threads, whose workers can be lost."""

    places: int = 2
    lose: int = 0
    """How many tries are lost when they have begun."""
    deaf: bool = False
    most: int = 0
    there: list[Worker] = field(factory=list)

    def room(self) -> int:
        return self.places

    def submit(self, job: Job) -> Handle:
        worker = Worker(job, lost=self.lose > 0, deaf=self.deaf)
        self.lose -= 1
        self.there.append(worker)
        self.most = max(self.most, sum(not one.killed for one in self.there))
        return worker


class Worker:
    def __init__(self, job: Job, *, lost: bool, deaf: bool) -> None:
        self.killed, self.asked, self.lost, self.deaf = False, threading.Event(), lost, deaf
        self.outcome: Outcome | None = None
        self.job = job
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        self.outcome = attempt_of(self.job, grace=0.2).run(self.asked.is_set)

    def begun(self) -> bool:
        return self.job.log.is_file()

    def poll(self) -> Outcome | Lost | None:
        if self.lost and self.begun():
            return Lost("the machine is gone")
        return self.outcome

    def stop(self) -> None:
        if not self.deaf:
            self.asked.set()

    def kill(self) -> None:
        self.killed = True
        self.asked.set()
        self.thread.join()


def run(cluster: Threads, *jobs: Job, tries: int = 3, stop: Callable[[], bool] = lambda: False) -> dict[str, Outcome]:
    begun: list[str] = []
    found = {
        out.job.name: out
        for out in drive(cluster, jobs, tries=tries, grace=0.2, started=lambda job: begun.append(job.name), stop=stop)
    }
    assert len(set(begun)) == len(begun), "a second try is no second start"
    assert all(one.killed for one in cluster.there), "nothing is left"
    return found


def test_as_many_at_a_time_as_there_is_room(tmp_path: Path) -> None:
    cluster = Threads(places=2)
    found = run(cluster, *(job_of(tmp_path, "", f"cell-{i}") for i in range(4)))
    assert [one.code for one in found.values()] == [0] * 4
    assert cluster.most == 2


def test_a_lost_try_is_repeated(tmp_path: Path) -> None:
    job = job_of(tmp_path, "")
    found = run(Threads(lose=2), job)
    assert found["cell"].code == 0
    assert job.log.read_text().count("of 3 was lost: the machine is gone") == 2


def test_tries_are_bounded(tmp_path: Path) -> None:
    job = job_of(tmp_path, "import signal; os.kill(os.getpid(), signal.SIGKILL)")
    cluster = Threads()
    found = run(cluster, job, tries=2)["cell"]
    assert len(cluster.there) == 2
    assert (found.code, found.said) == (
        1, "try 2 of 2 was lost: its process was killed by signal 9, perhaps for want of memory"
    )  # fmt: skip


def test_an_error_is_not_repeated(tmp_path: Path) -> None:
    cluster = Threads()
    found = run(cluster, job_of(tmp_path, "sys.exit('Error: no')"))["cell"]
    assert (found.code, found.said.splitlines()[-1], len(cluster.there)) == (1, "Error: no", 1)


def test_preemption_is_a_lost_try_and_a_stop_is_not(tmp_path: Path) -> None:
    asked = "n = len(steps.read_text()); sys.exit(130 if n == 1 else 0)"
    done = "(folder / 'status.json').write_text('{\"status\": \"running\"}')\n"
    job = job_of(tmp_path, done + asked)
    assert run(Threads(), job)["cell"].code == 0
    assert (job.folder / "steps").read_text() == "xx", "the second goes on from the first"


@pytest.mark.parametrize("deaf", [False, True])
def test_a_stop_ends_what_runs_and_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deaf: bool) -> None:
    wait = "import signal; signal.signal(15, lambda *_: sys.exit(130)); print('on', flush=True); time.sleep(60)"
    first, second = job_of(tmp_path, wait, "first"), job_of(tmp_path, wait, "second")
    monkeypatch.setattr("moframework.benchmark.remote._BEYOND", 0.5)
    since = time.monotonic()
    found = run(Threads(places=1, deaf=deaf), first, second, stop=lambda: "on" in _read(first.log))
    assert {name: one.code for name, one in found.items()} == {"first": 130}
    assert time.monotonic() - since < 20


def _read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""
