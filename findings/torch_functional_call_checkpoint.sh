#!/usr/bin/env bash
# torch.func.functional_call and activation checkpoints: gradients are those of other weights, without an error or a warning.
# Installs a CUDA build of torch: several GB and some minutes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-cache-dir numpy==2.4.6 torch==2.14.1
"$work/venv/bin/python" -W error - <<'PY'
import sys
from importlib.metadata import version

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

print("versions:", *(f"{name} {version(name)}" for name in ("torch", "numpy")))
print("guess: a network with activation checkpoints inside has, called with functional_call and given weights, the gradients of these weights; or it fails.")


class Network(nn.Module):
    """A linear layer, and a part of three layers in a checkpoint: of which form, or None for none."""

    def __init__(self, reentrant):
        super().__init__()
        self.first, self.part = nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
        self.reentrant = reentrant

    def forward(self, x):
        x = self.first(x)
        return self.part(x) if self.reentrant is None else checkpoint(self.part, x, use_reentrant=self.reentrant)


def gradients(reentrant):
    torch.manual_seed(0)
    network, x = Network(reentrant), torch.randn(8, 4)
    given = {name: torch.randn_like(own).requires_grad_() for name, own in network.named_parameters()}
    functional_call(network, given, (x,)).square().sum().backward()
    return {name: value.grad for name, value in given.items()}, [n for n, own in network.named_parameters() if own.grad is not None]


right, _ = gradients(None)
ok = True
for reentrant in (False, True):
    found, elsewhere = gradients(reentrant)
    off = {n: None if g is None else round(float((g - right[n]).norm() / right[n].norm()), 2) for n, g in found.items()}
    print(f"seen: use_reentrant={reentrant}: relative errors of the gradients {off}; gradients that went to the network's own weights: {elsewhere}")
    ok &= off["first.weight"] > 0.1
    ok &= (off["part.0.weight"] is None and len(elsewhere) == 4) if reentrant else (off["part.0.weight"] > 0.1 and not elsewhere)
print("why it matters: the part is run again in the backward pass, when functional_call has put the network's own weights back. Meta-learning, "
      "ensembles by torch.func and whatever else computes weights is trained by wrong numbers as soon as a library's switch for checkpoints is on.")
print("source: the note on functional_call in https://docs.pytorch.org/docs/stable/generated/torch.func.functional_call.html says nothing of it; "
      "how a checkpoint runs again: https://docs.pytorch.org/docs/stable/checkpoint.html")
sys.exit(not ok)
PY
