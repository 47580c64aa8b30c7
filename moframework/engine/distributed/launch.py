"""Finding the processes that train one run together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from moframework.engine.distributed.world import Alone, World

__all__ = ["joined"]


@contextlib.contextmanager
def joined() -> Iterator[World]:
    """The world of this process: a `ProcessGroup` where torchrun (or whoever sets WORLD_SIZE, RANK, LOCAL_RANK,
    MASTER_ADDR and MASTER_PORT) started several, else `Alone`.

    A process group that the caller has initialized is used, and left as it is; otherwise one is made, and ended on
    leaving. It talks by gloo between hosts and by NCCL between CUDA devices.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Alone()
        return
    from moframework.engine.distributed.process_group import ProcessGroup

    with ProcessGroup.joined() as group:
        yield group
