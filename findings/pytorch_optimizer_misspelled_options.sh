#!/usr/bin/env bash
# Nearly all optimizers of pytorch-optimizer take a misspelled option without a word.
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
print("guess: a misspelled option is a TypeError, as for every optimizer of torch.")
parameter = torch.nn.Parameter(torch.ones(3))
try:
    torch.optim.AdamW([parameter], weight_decya=0.1)
except TypeError as error:
    print("torch:", error)
accepting, classes = [], 0
for name, found in sorted(vars(pytorch_optimizer).items()):
    ours = isinstance(found, type) and issubclass(found, torch.optim.Optimizer)
    if ours and found.__module__.startswith("pytorch_optimizer."):
        classes += 1
        try:
            found([torch.nn.Parameter(torch.ones(2, 2))], weight_decya=0.1)
        except Exception:  # of a model or another optimizer that is missing, most of them
            continue
        accepting.append(name)
after = {}
for options in ({"weight_decay": 0.1}, {"weight_decya": 0.1}, {}):
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = pytorch_optimizer.Lion([weight], lr=0.1, **options)
    weight.grad = torch.ones(3)
    optimizer.step()
    after[" ".join(options) or "nothing"] = round(weight[0].item(), 4)
print(f"seen: {len(accepting)} of {classes} classes take weight_decya=0.1, Lion, SOAP and ScheduleFreeAdamW among them")
print(f"a weight of 1 after a step of Lion, by the option that was given: {after}")
print("why it matters: a setting from a file or a sweep is not applied and nothing says so: all of a search over weight_decya are one and the same training.")
print("source: https://pytorch-optimizers.readthedocs.io/en/latest/optimizer/, whose signatures end with **kwargs, of which their texts say nothing")
same = after["weight_decya"] == after["nothing"] != after["weight_decay"]
sys.exit(not (same and len(accepting) > 100 and {"Lion", "SOAP", "ScheduleFreeAdamW"} <= set(accepting)))
PY
