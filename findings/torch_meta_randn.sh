#!/usr/bin/env bash
# On device meta, which holds no numbers, torch.randn_like takes many times longer than drawing them on the CPU does.
# Installs a CUDA build of torch: several GB and some minutes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-cache-dir numpy==2.4.6 torch==2.14.1
"$work/venv/bin/python" - <<'PY'
import statistics
import sys
import time
from importlib.metadata import version

import torch

print("versions:", *(f"{name} {version(name)}" for name in ("torch", "numpy")))
print("guess: a network with 1,400 random draws is made on device meta in no time, since nothing is drawn: it is what one builds first to learn its size.")
torch.set_num_threads(1)
like = {name: torch.empty(100, 100, device=name) for name in ("meta", "cpu")}


def once(draw, tensor):
    begun = time.perf_counter()
    for _ in range(300):
        draw(tensor)
    return (time.perf_counter() - begun) / 300 * 1e6


def ratio(draw):
    """Microseconds on meta over those on the CPU: medians of rounds in turn."""
    rounds = [(once(draw, like["meta"]), once(draw, like["cpu"])) for _ in range(5)]
    meta, cpu = (statistics.median(column) for column in zip(*rounds))
    return meta, cpu, meta / cpu


found, spent = {}, 0.0
for name, draw in {"randn_like": torch.randn_like, "normal_": torch.Tensor.normal_, "uniform_": torch.Tensor.uniform_}.items():
    meta, cpu, found[name] = ratio(draw)
    spent = spent or 1400 * meta / 1e6
    print(f"seen: {name} of 100 x 100 takes {meta:.0f} us on meta and {cpu:.0f} us on the CPU, which draws 10,000 numbers: {found[name]:.1f} times as long")
print("why: on meta, normal numbers go through a decomposition that is written in Python; uniform ones do not.")
print(f"why it matters: code that learns sizes on meta before it allocates spends most of its time there, {spent:.1f} s for 1,400 such tensors of a hypernetwork. "
      "Return the tensor unchanged from a TorchDispatchMode, or init with uniform numbers.")
print("source: https://docs.pytorch.org/docs/stable/meta.html, which says that meta tensors carry metadata and no data")
sys.exit(not (found["randn_like"] > 3 and found["normal_"] > 3 and found["uniform_"] < found["normal_"]))
PY
