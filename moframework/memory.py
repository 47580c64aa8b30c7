"""How much memory the machine has, and a guard that refuses tensors which would not fit into it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from moframework.errors import SpecError

__all__ = ["FitsInMemory", "TooMuchMemoryError", "machine_memory"]

_UNKNOWN_MEMORY = 16 * 2**30
# Where Linux says what a container may use; a file that is not there, or says `max`, limits nothing.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_MAKING = ("empty", "empty_strided", "zeros", "ones", "full", "rand", "randn")


def machine_memory() -> int:
    """Bytes of memory of this machine, or of the container; an assumption where neither tells (Windows)."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        found = _UNKNOWN_MEMORY
    for name in _LIMITS:
        try:
            found = min(found, int(Path(name).read_text()))
        except (OSError, ValueError):
            continue
    return found


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
