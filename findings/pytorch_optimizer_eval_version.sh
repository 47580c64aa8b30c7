#!/usr/bin/env bash
# The eval() of a Schedule-Free optimizer changes weights behind the back of autograd.
# Installs a CUDA build of torch: several GB and some minutes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-cache-dir numpy==2.4.6 torch==2.14.1 pytorch-optimizer==4.1.0
"$work/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import torch

import pytorch_optimizer

print("versions:", *(f"{name} {version(name)}" for name in ("pytorch-optimizer", "torch", "numpy")))
print("guess: eval() between a forward and its backward pass is an error, as after any other change of a weight in place: its version is counted.")
def gradient(change):
    layer = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -1.0]]))
    optimizer = pytorch_optimizer.ScheduleFreeSGD(layer.parameters(), lr=0.01)
    optimizer.train()
    for _ in range(5):
        optimizer.zero_grad()
        layer(torch.tensor([[1.0, 2.0]])).square().sum().backward()
        optimizer.step()
    x = torch.tensor([[3.0, 1.0]], requires_grad=True)
    loss, version = layer(x).sum(), layer.weight._version
    change(layer, optimizer)
    try:
        loss.backward()
    except RuntimeError as error:
        return f"RuntimeError: {str(error)[:77]}", layer.weight._version - version
    return [round(value, 5) for value in x.grad[0].tolist()], layer.weight._version - version
def in_place(layer, optimizer):
    with torch.no_grad():
        layer.weight.mul_(2)
untouched, averaged, other = gradient(lambda *_: None), gradient(lambda _, optimizer: optimizer.eval()), gradient(in_place)
print("the gradient of the input, and by how much the version of the weight grew:")
print("  nothing in between:    ", *untouched)
print("  weight.mul_(2):        ", *other)
print("seen: eval() in between: ", *averaged)
print("why it matters: the gradient is that of other weights than the forward pass had, without an error; and what is kept for a weight until its version changes (merged adapters, quantized or cast copies) is used after eval() though it is out of date.")
print("source: schedulefree.py of 4.1.0, where eval() and train() write to p.data; the steps of the same class, and torch's optimizers, count")
sys.exit(not (averaged[1] == 0 and averaged[0] != untouched[0] and "RuntimeError" in other[0]))
PY
