#!/usr/bin/env bash
# Shampoo of pytorch-optimizer makes NaN of a plain gradient of rank 1, for all its matrix_eps.
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
print("guess: matrix_eps keeps the inverse roots finite, so that finite weights and gradients give finite weights.")
seen = {}
for name, value in (("1", 1.0), ("10", 10.0), ("100", 100.0)):
    weight = torch.nn.Parameter(torch.zeros(8, 8))
    optimizer = pytorch_optimizer.Shampoo([weight], lr=1e-3, matrix_eps=1e-6)
    weight.grad = torch.full((8, 8), value)
    optimizer.step()
    seen[name] = bool(weight.isnan().any())
weight = torch.nn.Parameter(torch.zeros(8, 8, dtype=torch.float64))
optimizer = pytorch_optimizer.Shampoo([weight], lr=1e-3)
weight.grad = torch.full((8, 8), 10.0, dtype=torch.float64)
optimizer.step()
print(f"seen: NaN among the weights after one step from zeros, by the value of all entries of the gradient: {seen}; in float64: {bool(weight.isnan().any())}")
print("why it matters: eps times the identity is added once, and not relative to the statistics: where float32 rounds it away a singular value is 0, and its inverse root is infinite. "
      "Layers that begin at zero, gradients of one sample and dead units have such gradients, and no exception is raised in the step that breaks the weights.")
print("source: https://pytorch-optimizers.readthedocs.io/en/latest/optimizer/, 'matrix_eps: term added to the denominator to improve numerical stability'")
sys.exit(not (seen["10"] and seen["100"] and not seen["1"]))
PY
