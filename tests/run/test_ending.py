"""Whatever ends a run is recorded: status, message, traceback in the log, and the last good checkpoint."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from moframework import Front, Observer, Progress, Run, solve
from moframework.engine.evaluate import Evaluator
from moframework.errors import (
    DamagedFileError,
    DataError,
    InterruptedRun,
    MoframeworkError,
    NonFiniteLossError,
    RunError,
)
from moframework.io.lock import FolderLock
from moframework.run import ending, solving
from moframework.run.ending import explained
from moframework.run.signals import stop_signals
from tests.run.test_run import tiny


class At(Observer):
    """Does something at a step."""

    def __init__(self, step: int, action: Callable[[], object]) -> None:
        self.step, self.action = step, action

    def stepped(self, progress: Progress) -> None:
        if progress.step == self.step:
            self.action()


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


ERRORS: dict[str, tuple[BaseException, type[BaseException], str]] = {
    "value": (ValueError("three is too many"), ValueError, "ValueError: three is too many"),
    "key": (KeyError("left"), KeyError, "KeyError: 'left'"),
    "assertion": (AssertionError(), AssertionError, "AssertionError: "),
    "exit": (SystemExit(3), SystemExit, "SystemExit: 3"),
    "recursion": (RecursionError("deep"), RecursionError, "RecursionError: deep"),
    "ours": (DataError("row 3 has no label"), DataError, "DataError: row 3 has no label"),
    "memory": (MemoryError(), RunError, "out of memory (MemoryError). Lower training.batch_size"),
    "cuda": (
        torch.OutOfMemoryError("CUDA out of memory. Tried"),
        RunError,
        "out of memory (CUDA out of memory. Tried)",
    ),
    "allocator": (
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        RunError,
        "Lower training.batch_size",
    ),
    "worker": (
        RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. "),
        RunError,
        "a process that loads data was killed (DataLoader worker (pid 12) is killed by signal: Killed.)",
    ),
    "full": (OSError(errno.ENOSPC, "No space left on device", "/x/y.pt"), RunError, "the disk of /x/y.pt is full"),
    "processes": (OSError(errno.ENOMEM, "Cannot allocate memory"), RunError, "out of memory ([Errno 12]"),
    "words": (ValueError("the store is out of memory chips"), ValueError, "ValueError: the store is out of memory"),
    "reader": (PermissionError(errno.EACCES, "denied", "/x/data.csv"), PermissionError, "PermissionError"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_in_a_step(tmp_path: Path, name: str) -> None:
    error, expected, words = ERRORS[name]
    with pytest.raises(expected) as caught:
        solve(tiny(), tmp_path / "run", observers=[At(9, raising(error))])
    run = Run(tmp_path / "run")
    assert run.status == "failed"
    assert words in run.summary()["message"]
    if expected is RunError:
        assert f"solve {run.path} --resume" in str(caught.value)
        assert caught.value.__cause__ is error
    log = (run.path / "log.txt").read_text()
    assert f"failed: {type(caught.value).__name__}" in log
    assert "Traceback (most recent call last)" in log
    assert "test_ending.py" in log
    assert (run.path / "checkpoints" / "last.pt").is_file(), "the last good checkpoint is there"
    if name == "value":
        assert solve(run.path, resume=True).status == "done"


@pytest.mark.parametrize("name", ["keep_freed_memory", "untrained_losses", "_write", "calibration_data"])
def test_an_error_in_another_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(solving, name, raising(ValueError("not today")))
        spec = (
            tiny()
            if name != "untrained_losses"
            else tiny(problem={"name": "digits", "train": 96, "val": 32, "test": 32})
        )
        if name == "untrained_losses":
            patched.setattr(solving.Plan, "reference", None)
        with pytest.raises(ValueError, match="not today"):
            solve(spec, tmp_path / "run")
    run = Run(tmp_path / "run")
    assert (run.status, run.summary()["message"]) == ("failed", "ValueError: not today")
    assert solve(run.path, resume=True).status == "done"


def test_a_full_disk_has_room_for_the_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "run" / "last.pt"))

    def fill() -> None:
        monkeypatch.setattr(ending, "write_json", raising(full))
        raise full

    with pytest.raises(RunError, match=r"the disk of .*last\.pt is full"):
        solve(tiny(), tmp_path / "run", observers=[At(9, fill)])
    run = Run(tmp_path / "run")
    assert run.status == "failed"
    assert "is full" in run.summary()["message"]


def test_what_fails_before_anything_is_written_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solving, "plan", raising(DataError("no data")))
    with pytest.raises(DataError):
        solve(tiny(), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(DataError):
        solve(tiny(), tmp_path / "mine")
    assert (tmp_path / "mine").is_dir()


# Words of the message, what is called in the phase, and the signal that comes there.
PHASES: dict[str, tuple[str, Any, str, signal.Signals]] = {
    "data": ("reading the data", solving, "describe_splits", signal.SIGTERM),
    "start": ("evaluating the untrained", Evaluator, "of_spec", signal.SIGINT),
    "evaluation": ("evaluating the model", solving, "calibration_data", signal.SIGTERM),
    "writing": ("writing the results", Front, "save", signal.SIGINT),
}


def signaled(number: signal.Signals) -> Callable[..., None]:
    def raise_signal(*_: object, **__: object) -> None:
        signal.raise_signal(number)
        raise AssertionError("the signal did nothing")

    return raise_signal


@pytest.mark.parametrize("phase", PHASES)
def test_a_signal_in_a_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str) -> None:
    words, owner, name, number = PHASES[phase]
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, signaled(number))
        with pytest.raises(InterruptedRun, match=f"stopped while {words}"):
            solve(tiny(), tmp_path / "run")
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    if phase == "data":
        assert not (tmp_path / "run").exists()
        return
    run = Run(tmp_path / "run")
    assert run.status == "interrupted"
    assert words in run.summary()["message"]
    assert solve(run.path, resume=True).status == "done"


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(InterruptedRun, match=r"stopped while training, as SIGTERM asked.*--resume"):
        solve(tiny(), tmp_path / "run", observers=[At(9, twice)])
    run = Run(tmp_path / "run")
    assert run.status == "interrupted"
    assert solve(run.path, resume=True).status == "done"


def test_signals_that_are_ignored_stay_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_that_another_process_solves(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with FolderLock(folder), pytest.raises(RunError, match=f"is being solved by process {os.getpid()}"):
        solve(tiny(), folder)
    assert solve(tiny(), folder).status == "done"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solving, "plan", raising(AssertionError("the data was read")))
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="cannot be written"):
        solve(tiny(), tmp_path / "run")


def test_a_folder_that_is_a_file_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solving, "plan", raising(AssertionError("the data was read")))
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        solve(tiny(), tmp_path / "file" / "run")


def test_a_folder_that_is_removed(tmp_path: Path) -> None:
    with pytest.raises(MoframeworkError, match="was removed while it was being solved"):
        solve(tiny(), tmp_path / "run", observers=[At(9, lambda: shutil.rmtree(tmp_path / "run"))])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return solve(tiny(), tmp_path_factory.mktemp("finished") / "run").path


FILES = [
    "spec.yaml", "status.json", "data.json", "environment.json", "front-val.json", "front-test.json",
    "model/model.json", "model/model.safetensors", "model/preparation.json",
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "damage"),
    [*((name, "flip") for name in FILES), ("front-test.json", "missing"), ("model/model.safetensors", "empty")],
)
def test_a_damaged_file_of_a_finished_run(finished: Path, tmp_path: Path, name: str, damage: str) -> None:
    run = Run(shutil.copytree(finished, tmp_path / "run"))
    before = (run.path / name).read_bytes()
    data = bytearray(before)
    data[len(data) // 2] ^= 2
    (run.path / name).write_bytes(data if damage == "flip" else b"")
    if damage == "missing":
        (run.path / name).unlink()
    if name == "spec.yaml":
        with pytest.raises(RunError, match=r"spec\.yaml"):
            solve(Run(run.path).path, resume=True)
        return
    if name == "data.json":
        (run.path / "status.json").unlink()
        with pytest.raises(DamagedFileError, match=r"data\.json"):
            solve(run.path, resume=True)
        return
    assert solve(run.path, resume=True).status == "done"
    assert not run.damaged()
    if name not in ("status.json", "environment.json"):
        assert (run.path / name).read_bytes() == before


def test_a_killed_run_is_told_from_a_running_one(finished: Path, tmp_path: Path) -> None:
    run = Run(shutil.copytree(finished, tmp_path / "run"))
    (run.path / "status.json").write_text(json.dumps({"status": "running"}))
    assert run.status == "killed"
    with FolderLock(run.path):
        assert run.status == "running"


def test_what_is_not_of_the_machine_stays_as_it_is(tmp_path: Path) -> None:
    beside = f"{tmp_path}-other/data.csv"
    for error in (
        ValueError("x"), RuntimeError("a shape is wrong"), FileNotFoundError(2, "no", "/x/data.csv"),
        PermissionError(errno.EACCES, "denied", beside),
    ):  # fmt: skip
        assert explained(error, tmp_path) is error
    ours = PermissionError(errno.EACCES, "denied", str(tmp_path / "log.txt"))
    assert "cannot be written" in str(explained(ours, tmp_path))


def test_a_divergence_in_the_step_before_a_validation(tmp_path: Path) -> None:
    training = {"steps": 1, "batch_size": 32, "optimizer": {"name": "sgd", "lr": 1e38}}
    with pytest.raises(NonFiniteLossError, match=r"loss of task 'left' on the val split is .* at preference \(0, 1\)"):
        solve(tiny(training=training), tmp_path / "run")
    assert Run(tmp_path / "run").status == "failed"


def test_a_process_killed_before_the_spec_was_written(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (".lock", ".owner.json", ".unfinished-12-ab-spec.yaml"):
        (folder / name).write_text("")
    assert solve(tiny(), folder, resume=True).status == "done"
    assert not list(folder.glob(".unfinished-*"))
