"""The entry to several processes: which world torchrun has launched this process into."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from moframework.processes.world import World

__all__ = ["launched_world"]


@contextlib.contextmanager
def launched_world() -> Iterator[World]:
    """The world of this process: a `ProcessGroup` where torchrun (or whoever sets WORLD_SIZE, RANK, LOCAL_RANK,
    MASTER_ADDR and MASTER_PORT) launched several, else a `World`.

    A process group that the caller has initialized is used, and left as it is; otherwise one is initialized, and
    destroyed on leaving. Its backends are gloo for tensors on the host and NCCL for those on CUDA devices.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World()
        return
    from moframework.processes.process_group import ProcessGroup

    with ProcessGroup.from_environment() as group:
        yield group
