"""How many requests of one sample with a random λ a server answers, together and one by one.

    python -m tests.serve.throughput [NET …] [--clients 16] [--seconds 2] [--rounds 5]

Of each network two servers run at once, one with batches of one; the load goes to one of them and then to the other, by
turns. What is told: answers a second, the median of their ratios, and the 99th percentile of the time to an answer.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import orjson
import torch

from moframework.problem import preparation_of
from moframework.serve import Limits, Service, serve
from tests.serve.client import Load, request
from tests.speed.nets import NETS, Net
from tests.speed.solvers import palora
from tests.speed.synthetic import Classes, Torques

OWN: Mapping[str, Net] = {
    "resnet18-32": Net(
        backbone={"name": "resnet", "depth": 18}, problem=Classes, shape=(3, 32, 32), batch=8, palora=9, pamal=9
    ),
    "vit-32": Net(
        backbone={"name": "vit", "patch": 16, "width": 384, "depth": 12, "heads": 6}, problem=Classes,
        shape=(3, 32, 32), batch=8, palora=9, pamal=9,
    ),
    "mlp-1024": Net(
        backbone={"name": "mlp", "hidden": [1024, 1024, 1024]},
        problem=lambda **options: Torques(**{"m": 2, **options}),
        shape=(21,), batch=8, palora=9, pamal=9,
    ),
}  # fmt: skip
ALL = {**NETS, **OWN}


def service(name: str, limits: Limits) -> Service:
    net = ALL[name]
    torch.manual_seed(0)
    ready = net.planned(palora(1, rank=4), {"batch_size": 8}, samples=8)
    with torch.no_grad():
        for parameter in ready.model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.01)
    ready.model.preparation = preparation_of(ready.spec.problem)
    return Service.of(ready.model, name, limits=limits)


def requests(name: str, count: int = 512) -> list[bytes]:
    rng = np.random.default_rng(0)
    shape = ALL[name].shape
    made = []
    for _ in range(count):
        x = np.round(rng.random((1, *shape)), 3).tolist()
        made.append(request(orjson.dumps({"inputs": x, "preference": rng.dirichlet([1.0, 1.0]).tolist()})))
    return made


@contextmanager
def server(name: str, port: int, **limits: Any) -> Iterator[int]:
    words = [f"{key}={value}" for key, value in limits.items()]
    command = [sys.executable, "-m", "tests.serve.throughput", name, "--serve", str(port), *words]
    process = subprocess.Popen(command)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz")
                break
            except OSError:
                time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def processor_seconds(pid: int) -> float:
    """Of a process, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def compare(name: str, clients: int, seconds: float, rounds: int, port: int) -> str:
    made = requests(name)
    found: dict[str, list[Load]] = {"together": [], "one by one": []}
    costs: dict[str, list[float]] = {way: [] for way in found}
    with server(name, port) as first, server(name, port + 1, max_batch=1) as second:
        for turn in range(rounds + 1):
            for offset, (way, pid) in enumerate(zip(found, (first, second), strict=True)):
                before = processor_seconds(pid)
                load = Load.of(port + offset, clients, seconds, lambda number: made[number % len(made)])
                assert set(load.statuses) == {200}, set(load.statuses)
                if turn:
                    found[way].append(load)
                    costs[way].append(1e3 * (processor_seconds(pid) - before) / len(load.seconds))
    ratios = [many.rate / one.rate for many, one in zip(*found.values(), strict=True)]
    rates = [f"{median(load.rate for load in loads):7.1f}" for loads in found.values()]
    late = [f"{1e3 * median(load.quantile(0.99) for load in loads):7.1f}" for loads in found.values()]
    spent = [median(each) for each in costs.values()]
    return (
        f"{name:12} together {rates[0]}/s, one by one {rates[1]}/s, ratio {median(ratios):5.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}); p99 {late[0]} ms and {late[1]} ms; "
        f"processor time {spent[0]:.2f} ms and {spent[1]:.2f} ms a request, ratio {spent[1] / spent[0]:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nets", nargs="*", default=["lenet", "resnet18-32", "vit-32", "mlp-1024"])
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--port", type=int, default=8300)
    parser.add_argument("--serve", type=int)
    given, limits = parser.parse_known_args()
    names = [name for name in given.nets if "=" not in name]
    if given.serve:
        from moframework.serve.limits import read_limits

        words = [word for word in [*given.nets, *limits] if "=" in word]
        serve(service(names[0], read_limits(words)), port=given.serve)
        return
    print(f"{given.clients} clients, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS')}, {os.cpu_count()} cores")
    for name in names:
        print(compare(name, given.clients, given.seconds, given.rounds, given.port), flush=True)


if __name__ == "__main__":
    main()
