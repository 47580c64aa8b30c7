"""How much memory the machine has, and a guard that refuses tensors which would not fit into it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from torch.utils._python_dispatch import TorchDispatchMode

from moframework.errors import SpecError

__all__ = ["FitsInMemory", "GroupLimit", "TooMuchMemoryError", "group_limits", "machine_memory", "number_in"]

_UNKNOWN_MEMORY = 16 * 2**30
_MAKING = ("empty", "empty_strided", "zeros", "ones", "full", "rand", "randn")
_DRAWING = ("normal_", "uniform_", "bernoulli_")
_DRAWING_LIKE = ("randn_like", "rand_like")


def machine_memory(root: Path = Path("/")) -> int:
    """Bytes of memory of this machine, or of the container; an assumption where neither tells (Windows).

    Args:
        root: of the file system that tells of containers, for tests.
    """
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        found = _UNKNOWN_MEMORY
    return min([found, *(limit.most for limit in group_limits(root))])


@frozen
class GroupLimit:
    """What a control group of Linux (a container) may hold at most, holds, and of that could give back; in bytes."""

    most: int
    held: int
    reclaimable: int


def group_limits(root: Path = Path("/")) -> list[GroupLimit]:
    """The limits of each control group of this process, and of each one above it; none where the system has none.

    Args:
        root: of the file system that tells, for tests.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    limits = []
    for line in lines:
        number, _, rest = line.partition(":")
        kinds, _, path = rest.partition(":")
        if number == "0" and not kinds:
            top, limit, used, reclaimable = "sys/fs/cgroup", "memory.max", "memory.current", rb"^inactive_file (\d+)$"
        elif "memory" in kinds.split(","):
            top, limit, used = "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            reclaimable = rb"^total_inactive_file (\d+)$"
        else:
            continue
        own = root / top / path.lstrip("/")
        for folder in (own, *own.parents):
            # A file that is not there, or says `max`, limits nothing.
            most, held = (number_in(folder / name, rb"^(\d+)$") for name in (limit, used))
            if most is not None and held is not None:
                limits.append(GroupLimit(most, held, number_in(folder / "memory.stat", reclaimable) or 0))
            if folder == root / top:
                break
    return limits


def number_in(path: Path, pattern: bytes, unit: int = 1) -> int | None:
    """The number that a file of the kernel has where the pattern matches, or None."""
    try:
        found = re.search(pattern, path.read_bytes(), re.MULTILINE)
    except OSError:
        return None
    return None if found is None else int(found[1]) * unit


class TooMuchMemoryError(SpecError):
    """A network is larger than the memory of the machine."""


class FitsInMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, tensors that together are larger than the machine's memory are refused, before they are
    allocated.

    Counted is what is made from nothing, as parameters are, on the host or without numbers (`meta`), and not what is
    freed again: for building one network. A system that promises more memory than it has would end the process without
    a word.

    Args:
        where: the section of the spec whose sizes are at fault.
        limit: in bytes; None for the machine's memory.

    Raises:
        TooMuchMemoryError: out of the call that would make the tensor.

    Example::

        with torch.device("meta"), FitsInMemory("problem.backbone"):
            network = problem.backbone()
    """

    def __init__(self, where: str, limit: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.where = where
        self.limit = machine_memory() if limit is None else limit
        self.made = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Count what `func` would make, then call it."""
        given = {} if kwargs is None else dict(kwargs)
        if func.overloadpacket.__name__ in _MAKING and args and isinstance(args[0], list | tuple):
            self._count(args[0], given)
        elif func.overloadpacket.__name__ in _DRAWING_LIKE:
            self._count(args[0].shape, {"device": args[0].device, "dtype": args[0].dtype} | given)
            if args[0].device.type == "meta":
                return torch.empty_like(args[0], **given)
        elif func.overloadpacket.__name__ in _DRAWING and args[0].device.type == "meta":
            return args[0]  # there is nothing to draw, and torch takes up to a millisecond for it
        return func(*args, **given)

    def _count(self, shape: Sequence[int], given: Mapping[str, Any]) -> None:
        if torch.device(given.get("device") or "cpu").type not in ("cpu", "meta"):
            return
        size = math.prod(shape) * (given.get("dtype") or torch.get_default_dtype()).itemsize
        self.made += size
        if self.made > self.limit:
            raise TooMuchMemoryError(
                f"{self.where}: a tensor of {' x '.join(f'{n:,}' for n in shape)} takes {size / 2**30:,.1f} GiB, "
                f"{self.made / 2**30:,.1f} with those before it, and this machine has {self.limit / 2**30:,.1f}: "
                "lower the sizes there"
            )
