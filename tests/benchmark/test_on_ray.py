from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from moframework.benchmark.executor import Job, Outcome
from moframework.benchmark.on_ray import Ray, _connected
from moframework.errors import RunError
from tests.benchmark.test_attempt import job_of
from tests.extras import needs_ray

pytestmark = [needs_ray, pytest.mark.filterwarnings("ignore")]  # Ray leaves sockets and files to the collector

WAIT = "\nwhile not (folder.parent / 'go').exists(): time.sleep(0.05)\n"
SAVE = "(folder / 'status.json').write_text('{\"status\": \"running\"}')\n"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of two processors on this machine."""
    import ray

    before = signal.getsignal(signal.SIGTERM)
    with _connected(None):
        assert signal.getsignal(signal.SIGTERM) is before, "Ray puts in one that ends the process"
        yield ray.get_runtime_context().gcs_address


def run(executor: Ray, *jobs: Job, stop: Callable[[], bool] = lambda: False) -> dict[str, Outcome]:
    return {out.job.name: out for out in executor.run(jobs, started=lambda job: None, stop=stop)}


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def names() -> list[str]:
    from ray.util import list_named_actors

    return list(list_named_actors())


def kill_worker(log: Path) -> bool:
    """Kill, once, the worker whose cell says its parent's number in the log."""
    told = log.read_text().split("parent ")[1:] if log.is_file() else []
    if len(told) == 1 and told[0].endswith("\n"):
        os.kill(int(told[0]), signal.SIGKILL)
        log.write_text("up \nparent 0\nparent 0\n")
    return False


def test_a_worker_that_is_killed_is_a_lost_try(address: str, tmp_path: Path) -> None:
    count = "n = len(steps.read_text()); print('parent', os.getppid(), flush=True); time.sleep(60 if n == 1 else 0)"
    # As a cell does, it ends when the worker does.
    follow = (
        "import threading\ndef watch():\n"
        "  while os.getppid() == int(os.environ['MOFRAMEWORK_PARENT']): time.sleep(0.05)\n"
        "  os._exit(130)\n"
        "threading.Thread(target=watch, daemon=True).start()\n"
    )
    job = job_of(tmp_path, SAVE + follow + count, "killed")
    found = run(Ray(cpus=1), job, job_of(tmp_path, "", "beside"), stop=lambda: kill_worker(job.log))
    assert {name: out.code for name, out in found.items()} == {"killed": 0, "beside": 0}
    assert (job.folder / "steps").read_text() == "xx", "the second try goes on from the first"
    assert "try 1 of 3 was lost: " in job.log.read_text()
    assert found["beside"].said == "up 1"
    wait_for(lambda: names() == [])


def test_a_driver_that_is_killed_finds_its_cells_again(address: str, tmp_path: Path) -> None:
    jobs = [job_of(tmp_path, SAVE + WAIT.replace("'go'", f"'go-{name}'"), name) for name in ("cell", "orphan")]
    driver = "from pathlib import Path\nfrom moframework.benchmark import on_ray\n"
    driver += "from moframework.benchmark.executor import Job\non_ray._LINGER = 1.0\njobs = []\n"
    for job in jobs:
        driver += f"folder, log = Path({str(job.folder)!r}), Path({str(job.log)!r})\n"
        driver += f"jobs.append(Job(name={job.name!r}, command={job.command!r}, folder=folder, log=log))\n"
    driver += f"executor = on_ray.Ray(address={address!r})\n"
    driver += "for _ in executor.run(jobs, started=lambda one: None, stop=lambda: False): pass\n"
    with subprocess.Popen([sys.executable, "-c", driver], cwd=Path(__file__).parents[2]) as first:
        wait_for(lambda: all(job.log.is_file() for job in jobs))
        first.kill()
    (tmp_path / "go-orphan").touch()
    wait_for(lambda: len(names()) == 1)
    assert (jobs[1].folder / "steps").read_text() == "x", "what ended without a driver is in place, and holds nothing"
    (tmp_path / "go-cell").touch()
    assert run(Ray(address=address), jobs[0])["cell"].code == 0
    assert (jobs[0].folder / "steps").read_text() == "x", "what still ran was taken up, and not begun again"
    wait_for(lambda: names() == [])


def test_what_no_machine_has(address: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no machine of the cluster has what a cell asks for \(cpus 1, gpus 1, memory "):
        run(Ray(gpus=1, memory=1.0), job_of(tmp_path, ""))


@pytest.mark.parametrize(
    ("place", "error", "tries", "message"),
    [
        (
            "10.0.0.1:6379",
            "Failed to connect",
            1,
            r"Ray cannot reach the cluster at 10\.0\.0\.1:6379: Failed to connect",
        ),
        (
            None,
            "The node timed out during startup",
            4,
            "Ray cannot reach a cluster on this machine: The node timed out",
        ),
        (None, "no space left", 1, "Ray cannot reach a cluster on this machine: no space left"),
    ],
)
def test_a_cluster_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str | None, error: str, tries: int, message: str
) -> None:
    asked = []

    def refuse(**options: object) -> None:
        asked.append(options["address"])
        raise ConnectionError(error)

    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", refuse)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    with pytest.raises(RunError, match=message):
        run(Ray(address=place), job_of(tmp_path, ""))
    assert asked == [place or "local"] * tries
