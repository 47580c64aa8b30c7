from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from moframework.benchmark.executor import Job, Outcome
from moframework.benchmark.local import Local

SLEEP = "import time; print('up', flush=True); time.sleep(60)"


@pytest.fixture
def job(tmp_path: Path) -> Callable[[str, str], Job]:
    def make(name: str, script: str) -> Job:
        command = (sys.executable, "-c", script)
        return Job(name=name, command=command, folder=tmp_path / name, log=tmp_path / f"{name}.log")

    return make


def run(executor: Local, *jobs: Job, stop: Callable[[], bool] = lambda: False) -> dict[str, Outcome]:
    return {out.job.name: out for out in executor.run(jobs, started=lambda job: None, stop=stop)}


def wait_for(path: Path, text: str = "up") -> None:
    deadline = time.monotonic() + 30
    while not (path.is_file() and text in path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_outcomes(job: Callable[[str, str], Job], tmp_path: Path) -> None:
    (tmp_path / "bad.log").write_text("of an earlier attempt\n")
    found = run(
        Local(jobs=2),
        job("good", "print('fine')"),
        job("bad", "import sys; print('Error: no', file=sys.stderr); sys.exit(1)"),
        job("killed", "import os; os.kill(os.getpid(), 9)"),
        Job(name="absent", command=("/no/such/program",), folder=tmp_path, log=tmp_path / "absent.log"),
    )
    assert {name: out.code for name, out in found.items()} == {"good": 0, "bad": 1, "killed": -9, "absent": 1}
    assert (found["good"].said, found["bad"].said) == ("fine", "Error: no")
    assert "/no/such/program" in found["absent"].said
    assert found["good"].seconds > 0


def test_long_output_is_cut_from_the_front(job: Callable[[str, str], Job]) -> None:
    said = run(Local(), job("long", "print('x' * 5000 + 'end')"))["long"].said
    assert said.startswith("…x")
    assert said.endswith("end")
    assert len(said) < 2100


@pytest.mark.parametrize("jobs", [1, 2])
def test_as_many_at_a_time_as_asked(job: Callable[[str, str], Job], jobs: int) -> None:
    running, most = set(), 0
    work = [job(str(i), "import time; time.sleep(0.3)") for i in range(3)]
    for outcome in Local(jobs=jobs).run(work, started=lambda one: running.add(one.name), stop=lambda: False):
        most = max(most, len(running))
        running.discard(outcome.job.name)
    assert most == jobs


def test_threads(job: Callable[[str, str], Job], monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import os; print(os.environ['OMP_NUM_THREADS'])"
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert run(Local(), job("own", script))["own"].said == "7"
    assert run(Local(threads=3), job("given", script))["given"].said == "3"
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("moframework.benchmark.local.available_cores", lambda: 8)
    assert run(Local(jobs=4), job("shared", script))["shared"].said == "2"


def test_a_stop_ends_running_jobs_and_starts_no_other(job: Callable[[str, str], Job], tmp_path: Path) -> None:
    patient = job(
        "patient", SLEEP.replace("import time", "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(130))")
    )
    found = run(Local(), patient, job("next", SLEEP), stop=(tmp_path / "patient.log").is_file and (
        lambda: "up" in ((tmp_path / "patient.log").read_text() if (tmp_path / "patient.log").is_file() else "")
    ))  # fmt: skip
    assert {name: out.code for name, out in found.items()} == {"patient": 130}


def test_a_job_that_will_not_end_is_killed(job: Callable[[str, str], Job], tmp_path: Path) -> None:
    deaf = job("deaf", "import signal; signal.signal(15, signal.SIG_IGN); " + SLEEP)
    log = tmp_path / "deaf.log"
    found = run(Local(grace=0.2), deaf, stop=lambda: log.is_file() and "up" in log.read_text())
    assert found["deaf"].code == -signal.SIGKILL


def test_a_job_that_takes_too_long_is_ended(job: Callable[[str, str], Job]) -> None:
    deaf = job("deaf", "import signal; signal.signal(15, signal.SIG_IGN); " + SLEEP)
    found = run(Local(limit=2.0, grace=0.3), job("slow", SLEEP), deaf, job("quick", "pass"))
    assert {name: (out.code, out.late) for name, out in found.items()} == {
        "slow": (-signal.SIGTERM, True), "deaf": (-signal.SIGKILL, True), "quick": (0, False)
    }  # fmt: skip


def test_nothing_is_left_behind_when_the_iterator_is_closed(job: Callable[[str, str], Job], tmp_path: Path) -> None:
    work = [job("quick", "pass"), job("slow", "import os; print(os.getpid(), flush=True); " + SLEEP)]
    with closing(Local(jobs=2).run(work, started=lambda one: None, stop=lambda: False)) as outcomes:
        assert next(outcomes).job.name == "quick"
        wait_for(tmp_path / "slow.log")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "slow.log").read_text().split()[0]), 0)


def test_a_cell_that_another_process_has_is_waited_for(job: Callable[[str, str], Job], tmp_path: Path) -> None:
    """The holder's own parent has died: the lock lives as long as the process that writes the run."""
    shared = job("shared", "print('again')")
    parent = (
        "import os, sys; from pathlib import Path; from moframework.benchmark.executor import Job\n"
        "from moframework.benchmark.local import Local\n"
        f"log = Path({str(shared.log)!r})\n"
        "command = (sys.executable, '-c', 'import time; print(\"first\", flush=True); time.sleep(2)')\n"
        "job = Job(name='shared', command=command, folder=log.parent, log=log)\n"
        "for _ in Local().run([job], started=lambda one: os._exit(0), stop=lambda: False): pass\n"
    )
    subprocess.run([sys.executable, "-c", parent], check=True)
    order = [
        out.job.name for out in Local().run([shared, job("other", "pass")], started=lambda j: None, stop=lambda: False)
    ]
    assert order == ["other", "shared"], "the rest goes on meanwhile"
    assert shared.log.read_text().split() == ["first", "again"]
