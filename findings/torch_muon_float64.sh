#!/usr/bin/env bash
# torch.optim.Muon steps parameters of any precision, float64 included, by a direction that is rounded to bfloat16.
# Installs a CUDA build of torch: several GB and some minutes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-cache-dir numpy==2.4.6 torch==2.14.1
"$work/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import torch

print("versions:", *(f"{name} {version(name)}" for name in ("torch", "numpy")))
print("guess: with float64 parameters and gradients the step of torch.optim.Muon is its Newton-Schulz polynomial to 1e-10, as other optimizers are exact in float64.")
torch.manual_seed(0)
gradient = torch.randn(8, 32, dtype=torch.float64)
parameter = torch.nn.Parameter(torch.zeros_like(gradient))
optimizer = torch.optim.Muon([parameter], lr=1.0, weight_decay=0.0, momentum=0.0, nesterov=False)
parameter.grad = gradient.clone()
optimizer.step()
step = -parameter.detach()
a, b, c = optimizer.param_groups[0]["ns_coefficients"]
exact = gradient / gradient.norm()
for _ in range(optimizer.param_groups[0]["ns_steps"]):
    gram = exact @ exact.T
    exact = a * exact + (b * gram + c * gram @ gram) @ exact
off = (step - exact).abs().max().item()
rounded = bool((step.bfloat16().double() == step).all())
print(f"seen: the step is float64, and every entry of it is a bfloat16 number: {rounded}; it is off by up to {off:.4f}, where its largest entry is {step.abs().max().item():.3f}")
print("why it matters: a comparison in double precision, a finite-difference check or a test of equivalence of two layouts fails at 1e-2 for no fault of its own; "
      "and on a CPU without bfloat16 units the iteration is several times slower than it would be in float32.")
print("source: https://docs.pytorch.org/docs/stable/generated/torch.optim.Muon.html, whose text, as the docstring of 2.14.1, does not say in which precision it iterates")
sys.exit(not (rounded and off > 1e-3))
PY
