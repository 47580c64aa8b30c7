from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moframework.errors import RunError
from moframework.io import lock
from moframework.io.lock import LOCK, OWNER, FolderLock, is_held, owner

HOLD = (
    "import sys, time; from pathlib import Path; from moframework.io.lock import FolderLock\n"
    "with FolderLock(Path(sys.argv[1])): print('held', flush=True); time.sleep(float(sys.argv[2]))"
)


def holder(folder: Path, seconds: float = 60) -> subprocess.Popen[str]:
    """Another process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def ended(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_it_says_who_holds_it(tmp_path: Path) -> None:
    assert owner(tmp_path) is None
    with FolderLock(tmp_path):
        found = owner(tmp_path)
        assert found is not None
        assert (found["host"], found["pid"]) == (platform.node(), os.getpid())
        assert is_held(tmp_path)
    assert owner(tmp_path) is None
    assert not is_held(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def test_another_process_is_refused(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        words = rf"is being solved by process {process.pid} on {platform.node()} since 20.*Wait until it ends"
        with pytest.raises(RunError, match=words), FolderLock(tmp_path):
            pass
        assert owner(tmp_path) is not None, "the refused one has taken nothing away"
    finally:
        ended(process)


def test_a_dead_owner_is_followed(tmp_path: Path) -> None:
    process = holder(tmp_path)
    ended(process)
    assert owner(tmp_path) is not None
    assert not is_held(tmp_path)
    with FolderLock(tmp_path):
        found = owner(tmp_path)
        assert found is not None
        assert found["pid"] == os.getpid()


def test_a_second_one_in_this_process_is_refused(tmp_path: Path) -> None:
    with FolderLock(tmp_path), pytest.raises(RunError, match=f"process {os.getpid()}"), FolderLock(tmp_path):
        pass
    with FolderLock(tmp_path):
        pass


@pytest.mark.parametrize(("age", "free"), [(10, False), (1000, True)])
def test_another_machine_whose_locks_do_not_reach_here(tmp_path: Path, age: float, free: bool) -> None:
    content = {"host": "elsewhere", "pid": 1, "since": "2026-01-01T00:00:00+00:00"}
    (tmp_path / OWNER).write_text(json.dumps(content))
    os.utime(tmp_path / OWNER, (time.time() - age,) * 2)
    assert is_held(tmp_path) is not free
    if free:
        with FolderLock(tmp_path):
            pass
        return
    with pytest.raises(RunError, match="process 1 on elsewhere since 2026-01-01"), FolderLock(tmp_path):
        pass
    assert owner(tmp_path) == content


def test_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_BEAT", 0.01)
    with FolderLock(tmp_path):
        os.utime(tmp_path / OWNER, (0, 0))
        end = time.monotonic() + 30
        while (tmp_path / OWNER).stat().st_mtime == 0:
            assert time.monotonic() < end
            time.sleep(0.01)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_note_holds_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / OWNER).write_text(text)
    assert not is_held(tmp_path)
    with FolderLock(tmp_path):
        pass
