"""Cells that are forked from a process that has read their data: as ever, but that nothing is read again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from moframework.benchmark.data_servers import DataServers
from moframework.benchmark.executor import Job
from moframework.benchmark.fork_server import ForkServer
from moframework.benchmark.local import Local

pytestmark = pytest.mark.skipif(not ForkServer.available(), reason="forks on Linux only")

PROBLEM = {"name": "csv", "path": "table.csv", "targets": {"a": "regression", "b": "regression"}}
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def root() -> Iterator[ForkServer]:
    with ForkServer(ENVIRONMENT) as server:
        yield server


def table(folder: Path, name: str = "table.csv") -> None:
    values = np.random.default_rng(0).normal(size=(60, 4)).round(3)
    np.savetxt(folder / name, values, fmt="%g", delimiter=",", header="x,y,a,b", comments="")


def spec(folder: Path, problem: Mapping[str, Any], seed: int = 0) -> Path:
    made = {
        "problem": dict(problem), "solver": "pamal", "training": {"epochs": 1, "batch_size": 16}, "seed": seed,
        "evaluate": {"every": 0, "points": 3}, "log": [],
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(made))
    return path


def job(path: Path, data: str | None) -> Job:
    out = path.parent / "run"
    return Job(
        name=path.parent.name, command=(sys.executable, "-m", "moframework", "solve", str(path), "--out", str(out)),
        folder=path.parent, log=path.parent.with_suffix(".log"), data=data,
    )  # fmt: skip


def settled(server: ForkServer) -> bool:
    """Whether a server that was asked to hold data does, once it does or has given up."""
    deadline = time.monotonic() + 120
    while not server.ready and server.alive:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return server.ready


def held(servers: DataServers, one: Job, waiting: Sequence[Job], running: Sequence[Job] = ()) -> ForkServer:
    """The server that holds a job's data, once it does."""
    deadline = time.monotonic() + 120
    while (server := servers.of(one, waiting, running)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return server


def outcome(server: ForkServer, spec: Path, out: Path) -> tuple[int, str]:
    with out.with_suffix(".log").open("w+b") as log:
        code = server.start(["solve", str(spec), "--out", str(out), "--quiet"], ENVIRONMENT, log, ()).wait()
        return code, Path(log.name).read_text()


def test_what_is_held_is_not_read_again_and_the_same(root: ForkServer, tmp_path: Path) -> None:
    table(tmp_path)
    path = spec(tmp_path, PROBLEM)
    assert outcome(root, path, tmp_path / "own")[0] == 0
    with root.with_data(path, ENVIRONMENT) as server:
        assert settled(server)
        (tmp_path / "table.csv").unlink()
        other = spec(tmp_path / "other", {**PROBLEM, "path": "../other.csv"})
        code, said = outcome(server, path, tmp_path / "run")
        assert code == 0, said
        code, said = outcome(server, other, tmp_path / "none")
        assert (code, "other.csv" in said) == (1, True)
    for name in ("data.json", "front-test.json", "front-val.json"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "own" / name).read_bytes()


def test_it_gives_up_where_data_or_problem_cannot_be_had(root: ForkServer, tmp_path: Path) -> None:
    """A table that is missing; and code of one's own, which may change between two cells and is not imported."""
    table(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import pathlib\n"
        "from moframework.problems.csv import CSV\n"
        f"pathlib.Path({str(tmp_path / 'imported')!r}).touch()\n"
        "class Mine(CSV): pass\n"
    )
    missing = spec(tmp_path / "missing", PROBLEM)
    named = {key: value for key, value in PROBLEM.items() if key != "name"}
    mine = spec(tmp_path / "mine", {**named, "path": "../table.csv", "python": f"{tmp_path}/mine.py:Mine"})
    for path in (missing, mine):
        with root.with_data(path, ENVIRONMENT) as server:
            assert not settled(server)
    assert not (tmp_path / "imported").exists()
    assert root.alive


def test_files_that_are_read_item_by_item_are_not_held(root: ForkServer, tmp_path: Path) -> None:
    """What they are may change until they are read, and one that is open has one position for all processes."""
    for name in ("a", "b", "c", "d"):
        Image.new("L", (8, 8), len(name)).save(tmp_path / f"{name}.png")
    rows = "".join(f"{name}.png,{i % 2},{i}\n" for i, name in enumerate("abcd" * 3))
    (tmp_path / "labels.csv").write_text(f"file,x,y\n{rows}")
    images = {
        "name": "images", "folder": ".", "table": "labels.csv", "size": [8, 8],
        "targets": {"x": "classes", "y": "regression"},
    }  # fmt: skip
    for in_memory in (True, False):
        with root.with_data(spec(tmp_path, {**images, "in_memory": in_memory}), ENVIRONMENT) as server:
            assert settled(server) is in_memory


def test_a_benchmarks_cells_share_what_they_can(tmp_path: Path) -> None:
    """Three cells of one table, one of a table that is missing, one alone on its data."""
    table(tmp_path)
    table(tmp_path, "alone.csv")
    jobs = [job(spec(tmp_path / f"seed-{seed}", {**PROBLEM, "path": "../table.csv"}, seed), "t") for seed in range(3)]
    jobs += [job(spec(tmp_path / f"none-{seed}", {**PROBLEM, "path": "../none.csv"}, seed), "n") for seed in range(2)]
    jobs += [job(spec(tmp_path / "alone", {**PROBLEM, "path": "../alone.csv"}), "a")]
    executor = Local(jobs=2, threads=1, start="fork")
    codes = {
        one.job.name: one.code for one in executor.run(jobs, started=lambda job: None, stop=lambda: False)
    }  # fmt: skip
    assert codes == {"seed-0": 0, "seed-1": 0, "seed-2": 0, "none-0": 1, "none-1": 1, "alone": 0}
    assert "none.csv" in (tmp_path / "none-0.log").read_text()


def test_one_that_is_killed_is_done_without(tmp_path: Path) -> None:
    table(tmp_path)
    jobs = [job(spec(tmp_path / f"seed-{seed}", {**PROBLEM, "path": "../table.csv"}, seed), "t") for seed in range(2)]
    with DataServers(ENVIRONMENT, most=2) as servers:
        holder = held(servers, jobs[0], jobs)
        assert servers.of(jobs[1], jobs, []) is holder
        assert servers.of(job(spec(tmp_path / "alone", PROBLEM), "a"), jobs, []) is not holder
        holder._process.kill()
        deadline = time.monotonic() + 60
        while servers.of(jobs[1], jobs, []) is holder:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        root = servers.of(jobs[1], jobs, [])
        assert root is not None
        with (tmp_path / "log").open("w+b") as log:
            assert root.start(["specs"], ENVIRONMENT, log, ()).wait() == 0


def test_room_is_made_by_what_no_job_needs(tmp_path: Path) -> None:
    table(tmp_path)
    jobs = [job(spec(tmp_path / name, {**PROBLEM, "path": "../table.csv"}), name) for name in ("x", "y", "z")]
    with DataServers(ENVIRONMENT, most=2) as servers:
        x, y = (held(servers, one, [one, *jobs]) for one in jobs[:2])
        root = servers.of(jobs[2], [jobs[2]] * 2, jobs[:2])
        assert root not in (None, x, y)
        assert held(servers, jobs[0], [jobs[2]] * 2 + [jobs[0]]) is x
        z = held(servers, jobs[2], [jobs[2]] * 2, [jobs[1]])
        assert z not in (root, x, y)
        assert not x.alive
        assert y.alive


def test_servers_that_read_do_not_take_each_others_place(tmp_path: Path) -> None:
    """Three problems, room for two: were they ended for the third, and this for them, no cell would ever start."""
    specs = [spec(tmp_path / name, {**PROBLEM, "path": "table.csv"}) for name in ("x", "y", "z")]
    for path in specs:
        os.mkfifo(path.with_name("table.csv"))
    jobs = [job(path, path.parent.name) for path in specs] * 2
    with DataServers(ENVIRONMENT, most=2) as servers:
        first = [servers.of(one, jobs, []) for one in jobs[:3]]
        assert first == [None, None, servers._root]
        reading = dict(servers._by_data)
        assert [servers.of(one, jobs, []) for one in jobs[:3]] == first
        assert servers._by_data == reading


def test_reading_for_too_long_is_left_to_the_cells(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "table.csv")
    jobs = [job(spec(tmp_path, PROBLEM), "t")] * 2
    with DataServers(ENVIRONMENT, most=2, limit=0.5) as servers:
        assert servers.of(jobs[0], jobs, []) is None
        time.sleep(0.6)
        assert servers.of(jobs[0], jobs, []) is servers._root


def test_what_reads_ends_with_the_benchmark(root: ForkServer, tmp_path: Path) -> None:
    """One that is still reading: it does not hear that its link is closed."""
    os.mkfifo(tmp_path / "table.csv")
    server = root.with_data(spec(tmp_path, PROBLEM), ENVIRONMENT)
    assert not server.ready
    server.__exit__()
    assert server._process.poll() == -signal.SIGKILL


def test_what_reads_ends_with_the_server_that_forked_it(tmp_path: Path) -> None:
    """As it does where the benchmark is killed: what reads hears of no link, and may read for long."""
    os.mkfifo(tmp_path / "table.csv")
    with ForkServer(ENVIRONMENT) as own:
        server = own.with_data(spec(tmp_path, PROBLEM), ENVIRONMENT)
        writing = opened(tmp_path / "table.csv")
        try:
            assert isinstance(own._process, subprocess.Popen)
            root = Path("/proc", str(own._process.pid), "task", str(own._process.pid))
            reader = Path("/proc", (root / "children").read_text().strip())
            own._process.kill()
            deadline = time.monotonic() + 60
            while reader.exists() and "\nState:\tZ" not in (reader / "status").read_text():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert not server.alive
        finally:
            os.close(writing)
            server.__exit__()


def opened(pipe: Path) -> int:
    """A named pipe for writing, once another process reads it."""
    deadline = time.monotonic() + 120
    while True:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
