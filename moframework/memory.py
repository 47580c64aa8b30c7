"""How much memory the machine has, and a guard that refuses tensors which would not fit into it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from moframework.errors import SpecError

__all__ = ["FitsInMemory", "machine_memory"]

_UNKNOWN_MEMORY = 16 * 2**30
# Where Linux says what a container may use; a file that is not there, or says `max`, limits nothing.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_MAKING = ("empty", "zeros", "ones", "full", "rand", "randn", "eye", "arange", "linspace", "empty_strided")


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


class FitsInMemory(TorchDispatchMode):
    """While it is entered, tensors on the host that together are larger than the machine's memory are refused, before
    they are allocated.

    Counted is what is made from nothing, as parameters are, and not what is freed again: for building one network. A
    system that promises more memory than it has would end the process without a word.

    Example::

        with FitsInMemory("problem.backbone"):
            network = problem.backbone()

    Args:
        where: the section of the spec whose sizes are at fault.
        bytes_: how many there are; None for those of the machine.
    """

    def __init__(self, where: str, bytes_: int | None = None) -> None:
        super().__init__()
        self.where = where
        self.bytes = machine_memory() if bytes_ is None else bytes_
        self.made = 0

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Count what `func` would make, then call it."""
        given = {} if kwargs is None else dict(kwargs)
        if func.overloadpacket.__name__ in _MAKING and args and isinstance(args[0], list | tuple):
            self._count(args[0], given)
        return func(*args, **given)

    def _count(self, shape: Sequence[int], given: Mapping[str, Any]) -> None:
        if str(given.get("device") or "cpu") not in ("cpu",):
            return
        dtype = given.get("dtype") or torch.get_default_dtype()
        size = math.prod(shape) * torch.empty(0, dtype=dtype, device="meta").element_size()
        self.made += size
        if self.made > self.bytes:
            raise SpecError(
                f"{self.where}: a tensor of {' x '.join(f'{n:,}' for n in shape)} takes {size / 2**30:,.1f} GiB, "
                f"{self.made / 2**30:,.1f} GiB with those before it, and this machine has {self.bytes / 2**30:,.1f}: "
                "lower the sizes there"
            )
