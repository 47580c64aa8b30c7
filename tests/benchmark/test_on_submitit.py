from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moframework.benchmark.executor import Job, Outcome
from moframework.benchmark.loading import load_benchmark
from moframework.benchmark.on_submitit import Submitit
from moframework.config.options import OptionError
from moframework.errors import RunError, SpecError
from tests.benchmark.parts import tiny
from tests.benchmark.test_attempt import job_of
from tests.extras import needs_submitit

pytestmark = [needs_submitit, pytest.mark.filterwarnings("ignore")]

SAVE = "(folder / 'status.json').write_text('{\"status\": \"running\"}')\n"

# A Slurm that runs the submitted file at once, in the background; what it was given is kept.
SBATCH = """#!/bin/sh
cp "$1" {folder}/given.sh
setsid sh -c 'SLURM_JOB_ID=$$ exec sh "$1"' sh "$1" >/dev/null 2>&1 &
echo $! >> {folder}/ids
echo "Submitted batch job $!"
"""
SRUN = """#!/bin/sh
while [ "${1#--}" != "$1" ]; do case "$1" in --output|--error) shift;; esac; shift; done
exec "$@"
"""
SACCT = """#!/bin/sh
echo 'JobID|State|NodeList'
for id in $(cat {folder}/ids); do
  if [ -d /proc/$id ]; then echo "$id|RUNNING|here"; else echo "$id|COMPLETED|here"; fi
done
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a Slurm that is none."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, text in {"sbatch": SBATCH, "srun": SRUN, "sacct": SACCT, "scancel": "#!/bin/sh\n"}.items():
        (folder / name).write_text(text.replace("{folder}", str(folder)))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def run(executor: Submitit, *jobs: Job, stop: Callable[[], bool] = lambda: False) -> dict[str, Outcome]:
    return {out.job.name: out for out in executor.run(jobs, started=lambda job: None, stop=stop)}


def test_outcomes_here(tmp_path: Path) -> None:
    killed = SAVE + "n = len(steps.read_text()); n == 1 and os.kill(os.getpid(), 9)"
    found = run(
        Submitit(cluster="local", jobs=2),
        job_of(tmp_path, "sys.exit('Error: no')", "bad"),
        job_of(tmp_path, killed, "killed"),
    )
    assert {name: out.code for name, out in found.items()} == {"bad": 1, "killed": 0}
    assert found["bad"].said.splitlines()[-1] == "Error: no"
    assert (tmp_path / "killed" / "steps").read_text() == "xx"
    assert not list((tmp_path / ".submitit").glob("*.json")), "what was told is read"


def test_a_stop_lets_cells_save(tmp_path: Path) -> None:
    wait = "import signal; signal.signal(15, lambda *_: sys.exit(130)); print('on', flush=True); time.sleep(60)"
    job = job_of(tmp_path, wait)
    found = run(Submitit(cluster="local"), job, stop=lambda: job.log.is_file() and "on" in job.log.read_text())
    assert found["cell"].code == 130
    end = time.monotonic() + 20
    while not (job.folder / "steps").exists():  # the worker has a second to put it into place
        assert time.monotonic() < end
        time.sleep(0.1)


def test_what_slurm_is_told(slurm: Path, tmp_path: Path) -> None:
    executor = Submitit(
        cpus=2, gpus=1, memory=1.5, limit=100, grace=20, slurm={"partition": "short", "additional_parameters": {"x": 1}}
    )
    found = run(executor, job_of(tmp_path, "print(os.environ.get('SLURM_JOB_ID'))"))
    assert (found["cell"].code, found["cell"].said.split()) == (
        0,
        ["up", "2", "None", (slurm / "ids").read_text().strip()],
    )
    given = (slurm / "given.sh").read_text()
    told = {line.removeprefix("#SBATCH --") for line in given.splitlines() if line.startswith("#SBATCH --")}
    assert {"partition=short", "x=1", "cpus-per-task=2", "gpus-per-node=1", "mem=1536MB", "time=3", "nodes=1"} <= told


def test_a_job_that_slurm_preempts_saves_and_goes_on(slurm: Path, tmp_path: Path) -> None:
    script = SAVE + (
        "import signal\nsignal.signal(15, lambda *_: sys.exit(130))\n"
        "n = len(steps.read_text()); print('worker', os.getppid(), flush=True); time.sleep(60 if n == 1 else 0)"
    )
    job = job_of(tmp_path, script)

    def preempt() -> bool:
        told = job.log.read_text().split("worker ")[1:] if job.log.is_file() else []
        if len(told) == 1 and told[0].endswith("\n"):
            os.kill(int(told[0]), signal.SIGUSR2)
            with job.log.open("a") as log:
                log.write("worker 0\nworker 0\n")
        return False

    assert run(Submitit(limit=600), job, stop=preempt)["cell"].code == 0
    assert (job.folder / "steps").read_text() == "xx"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"executor\.limit: must say how many seconds a cell may take"),
        (
            {"limit": 9, "slurm": {"partitoin": "a"}},
            r"no option 'partitoin' of Slurm; did you mean 'partition'\? it has: ",
        ),
        ({"limit": 9, "slurm": {"time": 9}}, r"slurm\.time follows from executor\.limit"),
        ({"limit": 9, "slurm": {"partition": ["a"]}}, r"slurm\.partition must be a text, a number or true"),
    ],
)
def test_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_benchmark(tiny(executor={"name": "submitit", **options}))


def test_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    with pytest.raises(RunError, match='Could not detect "srun"'):
        run(Submitit(limit=9), job_of(tmp_path, ""))
    with pytest.raises(OptionError):
        Submitit()
