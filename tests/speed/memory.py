"""Peak memory of training steps, each contender in a process of its own: a peak never goes down."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import torch
from attrs import evolve, field, frozen

from moframework.processes.launch import launched_world
from moframework.run.memory import keep_freed_memory, peak_memory
from tests.speed.contenders import our_step, plain_step
from tests.speed.nets import NETS, Net, batch_of
from tests.speed.solvers import palora

__all__ = ["MEMORY_CASES", "MemoryCase", "measure", "resident"]

_STEPS = 6 if torch.cuda.is_available() else 3  # there steps are recorded after a few
# Peaks of the whole process differ by some hundredths from one to the next, as memory falls into pieces.
_PROCESSES = 3


@frozen(kw_only=True)
class MemoryCase:
    """A solver on a network, and how much memory it may take at most."""

    name: str
    net: str
    solver: Mapping[str, Any]
    against: str = "plain"
    """The other contender: `plain`, or the name of a memory case."""
    limit: float | None = None
    batch: int | None = None
    """Samples a step, where it is not the net's."""
    passes: int = 1
    """Passes over the batch of the plain contender."""
    training: Mapping[str, Any] = field(factory=dict)
    processes: int = 1
    """That share each step, over gloo; what the largest of them takes counts."""
    mixed: bool = False
    """A batch of 64 with a preference for each sample in the place of steps, against one on the merged network."""


# A network whose parameters, not whose activations, take the memory.
_NETS = {
    **NETS,
    "wide mlp": Net(
        backbone={"name": "mlp", "hidden": [4096] * 5}, problem=NETS["mlp"].problem, shape=(21,), batch=64, palora=1.10,
        pamal=1.15,
    ),
}  # fmt: skip
_SERVED = 64
_SHARDED = {"distributed": {"parameters": "sharded"}}
_CHUNKED = {"name": "phn", "weights": "chunked_hypernetwork", "preferences": {"name": "dirichlet", "per_batch": 1}}
_PAMAL = {"name": "pamal", "preferences": {"name": "dirichlet", "per_batch": 1}}
_JOINED = palora(8, rank=4, objective="hypervolume_gradient")
MEMORY_CASES = (
    MemoryCase(name="segnet, palora r = 4", net="segnet", solver=palora(1, rank=4), limit=1.10),
    MemoryCase(
        name="segnet, palora r = 4, 4 shared", net="segnet", solver=palora(4, rank=4), against="segnet, palora r = 4",
        limit=1.05,
    ),
    # What adding up gradients costs a network by itself.
    MemoryCase(
        name="segnet, palora r = 4, 4 shared, against 4 passes", net="segnet", solver=palora(4, rank=4), passes=4,
        limit=1.10,
    ),
    # The batch of the papers.
    MemoryCase(name="segnet, batch 8, palora r = 4", net="segnet", solver=palora(1, rank=4), batch=8, limit=1.10),
    # m times the parameters' share: weights, gradients and Adam's two moments of 25 million are 382 of 968 MiB.
    MemoryCase(
        name="segnet, pamal", net="segnet",
        solver={"name": "pamal", "preferences": {"name": "dirichlet", "per_batch": 1}}, limit=1.39,
    ),
    *(MemoryCase(name=f"{net}, palora r = 4", net=net, solver=palora(1, rank=4)) for net in NETS if net != "segnet"),
    MemoryCase(name="resnet18, phn chunked", net="resnet18", solver=_CHUNKED),
    MemoryCase(
        name="resnet18, palora r = 4, 8 joined", net="resnet18", solver=_JOINED, against="resnet18, palora r = 4",
    ),
    MemoryCase(
        name="resnet18, palora r = 4, 8 joined, recomputed", net="resnet18", solver=_JOINED,
        against="resnet18, palora r = 4", training={"recompute": True},
    ),
    MemoryCase(name="wide mlp, palora r = 4", net="wide mlp", solver=palora(1)),
    MemoryCase(
        name="wide mlp, palora r = 4, parameters in 2 shards", net="wide mlp", solver=palora(1), training=_SHARDED,
        against="wide mlp, palora r = 4", processes=2,
    ),
    MemoryCase(
        name="wide mlp, palora r = 4, parameters in 4 shards", net="wide mlp", solver=palora(1), training=_SHARDED,
        against="wide mlp, palora r = 4", processes=4,
    ),
    *(
        MemoryCase(name=f"{net}, 64 preferences, {name}", net=net, solver=solver, limit=2.0, mixed=True)
        for net in ("mlp", "resnet18", "vit")
        for name, solver in (("palora r = 4", palora(1, rank=4)), ("pamal", _PAMAL))
    ),
)  # fmt: skip


def measure(net: str, solver: Mapping[str, Any] | None, *, processes: int = 1, **options: Any) -> list[int]:
    """Bytes that building and a few steps add to a fresh process at their peak, each time in new processes; without a
    solver of the plain step.

    Args:
        net: a name of `NETS`, or "wide mlp".
        solver: as in a spec.
        processes, options: `processes`, `batch`, `passes`, `training` and `mixed` of a `MemoryCase`.
    """
    argument = json.dumps({"net": net, "solver": solver, **options})
    return [max(_peaks(argument, processes)) for _ in range(_PROCESSES)]


def _peaks(argument: str, processes: int) -> list[int]:
    """What each of some processes says that share the steps."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    group = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.speed.memory", argument],
            env={**os.environ, **group, "RANK": str(rank), "LOCAL_RANK": str(rank)}, stdout=subprocess.PIPE, text=True,
        )
        for rank in range(processes)
    ]  # fmt: skip
    said = [one.communicate()[0] for one in started]
    if any(one.returncode for one in started):
        raise RuntimeError(f"a process of {argument} failed")
    return [int(one.splitlines()[-1]) for one in said]


def resident() -> int:
    """Resident bytes of this process now; 0 where the system does not tell (elsewhere than on Linux)."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 (no ordinary file)
            return int(file.read().split()[1]) * 4096
    except OSError:
        return 0


def _child(argument: str, before: int) -> int:
    wanted = json.loads(argument)
    net = _NETS[wanted["net"]]
    if wanted.get("batch") is not None:
        net = evolve(net, batch=wanted["batch"])
    torch.set_num_threads(1)
    keep_freed_memory()
    # What a first step loads (kernels, threads) is no one's training memory.
    torch.nn.functional.conv2d(torch.rand(1, 3, 8, 8, requires_grad=True), torch.rand(4, 3, 3, 3)).sum().backward()
    net = evolve(net, training={**net.training, **wanted.get("training", {})})
    if wanted.get("mixed"):
        return _served(net, wanted["solver"], before)
    ready = net.planned(wanted["solver"] or "single")
    device = ready.place.device
    with launched_world() as world:
        if wanted["solver"] is None:
            step = plain_step(ready, wanted.get("passes", 1))
            del ready.model.space, ready.model.skeleton
        else:
            step = our_step(ready, world)
        for _ in range(_STEPS):
            step()
    peaks = peak_memory(device)
    return peaks["device"] if "device" in peaks else peaks.get("host", 0) - before


def _served(net: Net, solver: Mapping[str, Any] | None, before: int) -> int:
    """Bytes that a model in use and a batch of 64 add at their peak; without a solver of the merged network. What only
    building takes does not count."""
    ready = evolve(net, batch=_SERVED).planned(solver or "single", samples=_SERVED)
    model, x, device = ready.model.eval(), ready.place.arranged(batch_of(ready)[0]), ready.place.device
    share = torch.linspace(0, 1, _SERVED, device=device)
    given = () if solver is None else (torch.stack([1 - share, share], dim=1),)
    used = model.at([0.5, 0.5]) if solver is None else model
    del ready, model
    _forget_peak()
    with torch.no_grad():
        for _ in range(_STEPS):
            used(x, *given)
    peaks = peak_memory(device)
    return peaks["device"] if "device" in peaks else peaks.get("host", 0) - before


def _forget_peak() -> None:
    """From now on the peak is that of what comes; what is free goes back to the system, as where a process only uses a
    model."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:  # noqa: PTH123 (no ordinary file)
        file.write("5")  # the peak of resident memory: see proc(5)


if __name__ == "__main__":
    print(_child(sys.argv[1], resident()))
