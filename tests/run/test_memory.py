"""Peaks of memory are those of this program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from moframework.run.memory import free_memory, peak_memory

CHILD = """
import torch
from moframework.run.memory import peak_memory
print(peak_memory(torch.device("cpu"))["host"])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="told by Linux")
def test_a_peak_is_not_that_of_the_process_that_started_this_one() -> None:
    """`getrusage` hands the parent's peak on to a child that was just started."""
    large = torch.ones(200 * 2**20)  # 800 MiB, every page written
    child = subprocess.run([sys.executable, "-c", CHILD], check=True, capture_output=True, text=True)
    own = peak_memory(torch.device("cpu"))["host"]
    assert own > large.nbytes
    assert int(child.stdout) < own - large.nbytes / 2


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


MEMINFO = "MemTotal:       1000 kB\nMemFree:  10 kB\nMemAvailable:    600 kB\n"


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, None),
        ({"proc/meminfo": MEMINFO}, 600 * 1024),
        (  # the group's own limit is less than the machine has; what the kernel can drop counts as free
            {
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/memory.max": "max\n",
                "sys/fs/cgroup/a/b/memory.current": "100\n",
                "sys/fs/cgroup/a/memory.max": "5000\n",
                "sys/fs/cgroup/a/memory.current": "4000\n",
                "sys/fs/cgroup/a/memory.stat": "anon 3000\ninactive_file 700\n",
            },
            1700,
        ),
        (
            {
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "11:cpu:/x\n7:memory:/x\n",
                "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "3000\n",
                "sys/fs/cgroup/memory/x/memory.usage_in_bytes": "3500\n",
            },
            0,
        ),
    ],
)
def test_free_memory_is_what_machine_and_containers_leave(
    tmp_path: Path, files: dict[str, str], free: int | None
) -> None:
    write(tmp_path, files)
    assert free_memory(torch.device("cpu"), tmp_path) == free


def test_devices_that_do_not_tell_are_not_guessed() -> None:
    assert free_memory(torch.device("mps")) is None
