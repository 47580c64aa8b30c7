"""Functions run in several processes that know each other, as torchrun would start them."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from moframework.processes.launch import launched_world
from moframework.processes.world import World

__all__ = ["in_processes"]

_LOADED = [
    "moframework.testing", "moframework.run.solving", "matplotlib.pyplot", "torchmetrics", "torch.distributed.fsdp",
]  # fmt: skip


def in_processes(function: Callable[..., Any], folder: Path, *arguments: Any, count: int = 2) -> list[Any]:
    """What `function(world, *arguments)` returns in each process; it must be defined at the top of a module. All that a
    test file asks for should go into one call: the first one takes the seconds of imports, the others take some."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_LOADED)  # one process imports them, once; the others are forked from it
    started = [
        context.Process(target=_run, args=(function, folder, arguments, rank, count, port)) for rank in range(count)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(140)  # two of them: within the time limit of a test, on a busy machine too
    codes = [process.exitcode for process in started]
    for process in started:
        process.kill()
    assert codes == [0] * count, f"processes ended with {codes}"
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(count)]


def _run(function: Callable[..., Any], folder: Path, arguments: Any, rank: int, count: int, port: int) -> None:
    torch.set_num_threads(1)
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    with launched_world() as world:
        result = function(world, *arguments)
    assert isinstance(world, World)
    torch.save(result, folder / f"{rank}.pt")
