"""Whole runs of two processes, started by torchrun: the front of one process, one folder, one voice; one that is
killed, and one that fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import frozen

from moframework import Run, solve
from moframework.pareto.front import Front
from moframework.spec import load_spec
from tests.run.test_run import FILES

# Rounding differs where a batch is cut in two; in 9 steps it grows to about 1e-5.
TOLERANCE = 1e-3

SPEC = """
extends: quickstart
problem: {name: digits, train: 128, val: 33, test: 31, tasks: {left: {loss: {python: "./fate.py:fateful"}}}}
training: {epochs: 3, batch_size: 33, log_every: 2, checkpoint_every: 2, device: cpu}
evaluate: {points: 3}
"""

# Cross-entropy; the second process meets its fate in the second of three epochs, which begins with the fourth step (a
# batch goes through the network in one pass, whatever the number of preferences that share it).
FATE = """
import os, signal
from torch.nn.functional import cross_entropy

calls = 0

def fateful(output, target):
    global calls
    calls += output.requires_grad
    if os.environ.get("RANK") == "1" and calls == 5 and os.environ["FATE"] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ.get("RANK") == "1" and calls == 5 and os.environ["FATE"] == "failed":
        raise ValueError("bad luck")
    return cross_entropy(output, target, reduction="none")
"""


@frozen
class Ended:
    folder: Path
    code: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    (folder / "fate.py").write_text(FATE)
    (folder / "spec.yaml").write_text(SPEC)
    return folder / "spec.yaml"


@pytest.fixture(scope="module")
def ended(spec: Path) -> Iterator[dict[str, Ended]]:
    """Three runs of two processes each, at the same time, since starting them is what takes long."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    started = {}
    for fate in ("good", "killed", "failed"):
        command = [*torchrun, "-m", "moframework", "solve", str(spec), "--out", str(spec.parent / fate)]
        started[fate] = subprocess.Popen(
            command if fate == "failed" else [*command, "--quiet"],
            env={**os.environ, "FATE": fate, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    try:
        found = {}
        for fate, process in started.items():
            stdout, stderr = process.communicate(timeout=240)
            # Some releases of torch print there who is connected.
            own = "".join(line for line in stdout.splitlines(keepends=True) if not line.startswith("[Gloo] "))
            found[fate] = Ended(spec.parent / fate, process.returncode, own, stderr)
        yield found
    finally:
        for process in started.values():
            process.kill()


@pytest.fixture(scope="module")
def alone(spec: Path) -> Run:
    threads = torch.get_num_threads()
    try:
        return solve(load_spec(spec), spec.parent / "alone")
    finally:
        torch.set_num_threads(threads)


def close(one: Front, other: Front) -> None:
    np.testing.assert_allclose(one.losses, other.losses, rtol=TOLERANCE)
    np.testing.assert_array_equal(one.preferences, other.preferences)
    for name, values in other.metrics.items():  # one of 31 samples may lie at the border
        np.testing.assert_allclose(one.metrics[name], values, atol=1 / 30)


def test_the_front_is_that_of_one_process(ended: dict[str, Ended], alone: Run) -> None:
    good = ended["good"]
    assert good.code == 0, good.stderr
    run = Run(good.folder)
    for split in ("val", "test"):
        close(run.front(split), alone.front(split))
    assert run.status == "done"
    assert run.summary()["steps"] == alone.summary()["steps"]


def test_one_process_writes_and_speaks(ended: dict[str, Ended]) -> None:
    good = ended["good"]
    assert {path.name for path in good.folder.iterdir()} == FILES
    assert len(list((good.folder / "events").iterdir())) == 1
    assert (good.folder / "log.txt").read_text().count("training finished") == 1
    assert good.stdout == f"{good.folder}\n"
    found = json.loads((good.folder / "environment.json").read_text())
    assert found["distributed"] == {"world_size": 2, "backend": "gloo"}


def test_a_killed_process_ends_the_run_which_one_process_resumes(ended: dict[str, Ended], alone: Run) -> None:
    killed = ended["killed"]
    assert killed.code != 0
    assert Run(killed.folder).status in ("failed", "killed"), "torchrun may have been faster than the first process"
    assert (killed.folder / "checkpoints" / "last.pt").is_file()
    assert not (killed.folder / "front-test.json").exists()
    run = solve(killed.folder, resume=True)
    assert run.status == "done"
    close(run.front("test"), alone.front("test"))


def test_an_error_in_one_process_is_told_by_it_and_ends_all(ended: dict[str, Ended]) -> None:
    failed = ended["failed"]
    assert failed.code != 0
    assert "process 1: Error: unexpected ValueError: bad luck" in failed.stderr
    assert failed.stderr.count("bad luck") == 1
    assert "training: " in failed.stderr
    assert failed.stdout == ""
    assert Run(failed.folder).summary()["status"] == "failed"
    assert Run(failed.folder).summary()["message"] == "process 1 of 2 failed: ValueError: bad luck"
