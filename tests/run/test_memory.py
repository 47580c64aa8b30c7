"""Peaks of memory are those of this program."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from moframework.run.memory import peak_memory

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
