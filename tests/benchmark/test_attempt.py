from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from moframework.benchmark.attempt import Attempt, gather
from moframework.benchmark.executor import Job
from moframework.io.sealed import write_json

COUNT = """
import json, os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
steps = folder / "steps"
with steps.open("a") as file:
    file.write("x")
print("up", os.environ.get("OMP_NUM_THREADS"), os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
"""
"""A cell that counts how often it was begun in this folder."""


def job_of(folder: Path, script: str, name: str = "cell") -> Job:
    own = folder / name
    own.mkdir(parents=True, exist_ok=True)
    (own / "spec.yaml").write_text("a: 1\n")
    command = (sys.executable, "-c", COUNT + script, str(own))
    return Job(name=name, command=command, folder=own, log=folder / f"{name}.log")


def attempt_of(job: Job, **changes: object) -> Attempt:
    usual = Attempt(
        job=job, threads=3, hide_gpus=True, limit=None, grace=5.0, environment={}, place=job.folder.parent
    )  # fmt: skip
    return attrs.evolve(usual, **changes)


def hold(folder: Path, pid: int) -> None:
    """Let a folder be one in which a process of this machine works."""
    folder.mkdir(exist_ok=True)
    owner = {"host": os.uname().nodename, "pid": pid, "since": "now"}
    (folder / ".owner.json").write_text(json.dumps(owner))


def never() -> bool:
    return False


def test_a_try_takes_the_place_of_the_cell(tmp_path: Path) -> None:
    job = job_of(tmp_path, "(folder / 'made').write_text(str(folder.name))")
    found = attempt_of(job).run(never)
    assert (found.code, found.said, found.late) == (0, "up 3", False), "no GPU is seen, and the threads are stated"
    own = (job.folder / "made").read_text()
    assert own.startswith(".try-")
    assert own.endswith("-cell")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cell", "cell.log"], "nothing is left over"


def test_a_try_goes_on_from_what_the_one_before_has_saved(tmp_path: Path) -> None:
    job = job_of(tmp_path, "")
    dead = tmp_path / ".try-0000-cell"
    dead.mkdir()
    (dead / "steps").write_text("xx")
    write_json(dead / "status.json", {"format": 2, "status": "running"})
    attempt_of(job).run(never)
    assert (job.folder / "steps").read_text() == "xxx"
    assert not dead.exists()


def test_a_cell_that_an_earlier_try_has_done_is_not_run(tmp_path: Path) -> None:
    job = job_of(tmp_path, "")
    write_json(job.folder / "status.json", {"format": 2, "status": "done"})
    assert attempt_of(job).run(never).code == 0
    assert not (job.folder / "steps").exists()


def test_an_earlier_try_that_is_alive_is_waited_for(tmp_path: Path) -> None:
    job = job_of(tmp_path, "")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        hold(tmp_path / ".try-0000-cell", other.pid)
        late = attempt_of(job, limit=0.3).run(never)
        assert late.late
        assert not (tmp_path / "cell.log").exists(), "nothing was begun beside it"
        threading.Timer(0.3, other.kill).start()
        threading.Thread(target=other.wait, daemon=True).start()
        assert attempt_of(job).run(never).code == 0
    assert (job.folder / "steps").read_text() == "x"


def test_a_folder_that_the_worker_does_not_see(tmp_path: Path) -> None:
    job = job_of(tmp_path, "")
    (job.folder / "spec.yaml").unlink()
    found = attempt_of(job).run(never)
    assert found.code == 1
    assert "must lie on a disk that the driver and all machines of the cluster share" in found.said


@pytest.mark.parametrize(
    ("script", "limit", "code", "late"),
    [
        ("import signal; signal.signal(15, lambda *_: sys.exit(130)); print('on', flush=True); time.sleep(60)",
         None, 130, False),
        ("import signal; signal.signal(15, signal.SIG_IGN); print('on', flush=True); time.sleep(60)",
         None, -signal.SIGKILL, False),
        ("print('on', flush=True); time.sleep(60)", 4.0, -signal.SIGTERM, True),
    ],
    ids=["saves", "deaf", "late"],
)  # fmt: skip
def test_requests_to_end(tmp_path: Path, script: str, limit: float | None, code: int, late: bool) -> None:
    job = job_of(tmp_path, script)
    stop: Callable[[], bool] = never if limit else lambda: job.log.is_file() and "on" in job.log.read_text()
    found = attempt_of(job, limit=limit, grace=0.3 if code == -signal.SIGKILL else 10.0).run(stop)
    assert (found.code, found.late) == (code, late)
    assert (job.folder / "steps").read_text() == "x", "what it has left is in the cell's place"


def test_what_nobody_works_at_is_gathered(tmp_path: Path) -> None:
    job = job_of(tmp_path, "")
    for name, pid in ((".try-0000-cell", 2**22 + 1), (".try-1111-cell", os.getpid())):
        hold(tmp_path / name, pid)
        write_json(tmp_path / name / "status.json", {"format": 2, "status": "running"})
        time.sleep(0.02)
    gather(job)
    assert (job.folder / "status.json").is_file()
    assert (tmp_path / ".try-1111-cell").is_dir(), "somebody works there"
