"""Memory: freed memory of the host is kept for the next step instead of going back to the system; peaks, what is held,
what is free."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import torch

from moframework.memory import group_limits, number_in

__all__ = ["free_memory", "has_room", "held_memory", "keep_freed_memory", "peak_memory"]

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


def has_room(size: int, device: torch.device) -> bool:
    """Whether so many bytes can be had on a device, with a fifth of what is free to spare; yes where it is not told."""
    free = free_memory(device)
    return free is None or size <= 0.8 * free


def held_memory() -> int | None:
    """Bytes of resident memory that this process holds now; None where the system is not Linux."""
    return number_in(Path("/proc/self/status"), rb"^VmRSS:\s*(\d+) kB$", 1024)


def free_memory(device: torch.device, root: Path = Path("/")) -> int | None:
    """Bytes that can still be had on a device; None where that is not told.

    On Linux's host it is the least of what the kernel calls available and what the limits of the process's control
    groups (containers) leave.

    Args:
        root: of the file system that tells, for tests.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    available = number_in(root / "proc/meminfo", rb"^MemAvailable:\s*(\d+) kB$", 1024)
    groups = [max(limit.most - limit.held + limit.reclaimable, 0) for limit in group_limits(root)]
    return min([left for left in (available, *groups) if left is not None], default=None)


def _peak_of_this_program() -> int | None:
    """Bytes, as Linux tells them; None elsewhere. `getrusage` would tell those of the parent process where that held
    more when it started this one."""
    # The name of the program stands in the file too, in any bytes.
    return number_in(Path("/proc/self/status"), rb"^VmHWM:\s*(\d+) kB$", 1024)
