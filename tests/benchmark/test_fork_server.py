"""Commands that are forked: processes of their own all the same."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from moframework.benchmark.executor import Job
from moframework.benchmark.fork_server import ForkServer
from moframework.benchmark.local import Local
from moframework.run.run import Run
from moframework.run.solving import solve

pytestmark = pytest.mark.skipif(not ForkServer.available(), reason="forks on Linux only")

SPEC = {
    "problem": {"name": "digits", "train": 64, "val": 16, "test": 16},
    "solver": {"name": "palora", "preferences": {"per_batch": 1}},
    "training": {"epochs": 1, "batch_size": 32},
    "evaluate": {"every": 0, "points": 3},
}
LONG = {**SPEC, "training": {"epochs": 100_000, "batch_size": 32, "checkpoint_every": 20}}


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with ForkServer({**os.environ, "OMP_NUM_THREADS": "1"}) as server:
        yield server


def job(folder: Path, name: str, arguments: Sequence[str]) -> Job:
    return Job(
        name=name, command=(sys.executable, "-m", "moframework", *arguments), folder=folder, log=folder / f"{name}.log"
    )


def solving(folder: Path, name: str, spec: dict[str, object]) -> Job:
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(spec))
    return job(folder, name, ["solve", str(folder / f"{name}.yaml"), "--out", str(folder / name), "--quiet"])


def outcome(server: ForkServer, folder: Path, arguments: Sequence[str], environment: dict[str, str]) -> tuple[int, str]:
    with (folder / "said").open("w+b") as log:
        code = server.start(arguments, environment, log, ()).wait()
        log.seek(0)
        return code, log.read().decode()


def test_a_command_is_as_ever(server: ForkServer, tmp_path: Path) -> None:
    environment = dict(os.environ)
    code, said = outcome(server, tmp_path, ["check", "no-such-spec"], environment)
    assert (code, "no-such-spec" in said) == (2, True)
    code, said = outcome(server, tmp_path, ["specs"], environment)
    assert (code, "quickstart" in said) == (0, True)


def test_the_environment_is_that_of_the_command(server: ForkServer, tmp_path: Path) -> None:
    """One that the server does not have, in a variable that a command reads: where its data lie."""
    spec = tmp_path / "data.yaml"
    spec.write_text("problem: multimnist\nsolver: palora\n")
    environment = {**os.environ, "MOFRAMEWORK_DATA": str(tmp_path / "elsewhere"), "MOFRAMEWORK_OFFLINE": "1"}
    (tmp_path / "elsewhere").write_text("no folder")
    code, said = outcome(server, tmp_path, ["check", str(spec)], environment)
    assert code != 0
    assert "elsewhere" in said


def test_a_long_environment_is_no_message_too_long(server: ForkServer, tmp_path: Path) -> None:
    long = {f"LONG_{number}": "x" * 60_000 for number in range(10)}
    assert outcome(server, tmp_path, ["specs"], {**os.environ, **long})[0] == 0


def test_what_runs_threads_is_not_forked(tmp_path: Path) -> None:
    """A library's thread in the server, here of a module that Python imports first: commands are started anew."""
    (tmp_path / "sitecustomize.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    )
    threaded = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    with ForkServer(threaded) as server:
        assert outcome(server, tmp_path, ["specs"], dict(os.environ))[0] == 0
        one = solving(tmp_path, "one", LONG)
        with one.log.open("w+b") as log:
            running = server.start(one.command[3:], os.environ, log, ())
            wait_for(tmp_path / "one" / "checkpoints" / "last.pt")
            program = Path(f"/proc/{holder(one)}/cmdline").read_bytes().split(b"\0")
            running.terminate()
            assert (running.wait(), program[1:3]) == (130, [b"-m", b"moframework"])


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_commands_are_processes_of_their_own(tmp_path: Path) -> None:
    """One killed by somebody, one that ends when the benchmark is asked to stop, and one that is as in any process."""
    whole, killed, stopped = (solving(tmp_path, name, spec) for name, spec in (
        ("whole", SPEC), ("killed", LONG), ("stopped", LONG)
    ))  # fmt: skip
    found: dict[str, int] = {}
    done = list[str]()

    def stop() -> bool:
        if not done and all((one.folder / one.name / "checkpoints" / "last.pt").exists() for one in (killed, stopped)):
            os.kill(holder(killed), signal.SIGKILL)
            done.append("killed")
        return found.keys() >= {"killed", "whole"}

    executor = Local(jobs=3, threads=1, start="fork")
    for out in executor.run([whole, killed, stopped], started=lambda one: None, stop=stop):
        found[out.job.name] = out.code
    assert found == {"whole": 0, "killed": -signal.SIGKILL, "stopped": 130}
    own = solve(SPEC, out=tmp_path / "own").front("test").losses
    assert Run(tmp_path / "whole").front("test").losses.tolist() == own.tolist()


def holder(one: Job) -> int:
    """The process that holds the lock of a job's run: the only one whose log this is."""
    log = one.log.stat().st_ino
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and process.name != str(os.getpid()):
            try:
                if (process / "fd" / "1").stat().st_ino == log:
                    return int(process.name)
            except OSError:
                continue
    raise LookupError(one.name)


def test_what_a_dead_server_has_forked_ends(server: ForkServer, tmp_path: Path) -> None:
    """The commands save and end, each counts as ended by the server's signal, and what is started then is too. Last
    of the tests, for it kills what others use."""
    with (tmp_path / "log").open("w+b") as log:
        one = solving(tmp_path, "one", LONG)
        running = server.start(one.command[3:], os.environ, log, ())
        wait_for(tmp_path / "one" / "checkpoints" / "last.pt")
        child = holder(Job(name="one", command=(), folder=tmp_path, log=tmp_path / "log"))
        assert server.alive
        server._process.kill()
        assert running.wait() == -signal.SIGKILL
        assert server.start(["specs"], os.environ, log, ()).wait() == -signal.SIGKILL
        assert not server.alive
        deadline = time.monotonic() + 60
        while Path(f"/proc/{child}/exe").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert "interrupted" in (tmp_path / "one" / "status.json").read_text()
