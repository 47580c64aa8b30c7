#!/usr/bin/env bash
# torchvision's MNASNet cannot load its own weights from a safetensors file, or from any state dict without torch's metadata.
# Installs a CUDA build of torch: several GB and some minutes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-cache-dir numpy==2.4.6 torch==2.14.1 torchvision==0.29.1 safetensors==0.8.0
"$work/venv/bin/python" - "$work" <<'PY'
import sys
from importlib.metadata import version

import torchvision.models
from safetensors.torch import load_file, save_file

print("versions:", *(f"{name} {version(name)}" for name in ("torch", "torchvision", "safetensors")))
print("guess: a state dict is its names and tensors, so a network of torchvision loads what safetensors kept of it.")


def loaded(name):
    made, path = getattr(torchvision.models, name), f"{sys.argv[1]}/{name}"
    save_file(made().state_dict(), path)
    try:
        made().load_state_dict(load_file(path))
    except ValueError as error:
        return f"ValueError: {error}"
    return "loads"


seen = {name: loaded(name) for name in ("resnet18", "mobilenet_v3_small", "squeezenet1_1", "mnasnet0_5", "mnasnet1_0")}
for name, what in seen.items():
    print(f"seen: {name}: {what}")
network = torchvision.models.mnasnet0_5()
state = network.state_dict()
network.load_state_dict(state)
print(f"seen: the same tensors load from state_dict() itself, whose attribute _metadata says of the network: {state._metadata['']}")
print("why it matters: torch keeps a version of each module in an attribute of the state dict, which no file of tensors alone has. "
      "Setting it from a fresh network helps: state = OrderedDict(state); state._metadata = network.state_dict()._metadata.")
print("source: https://github.com/pytorch/vision/pull/1224")
wanted = ["loads"] * 3 + ["ValueError: version should be set to 1 or 2 instead of None"] * 2
sys.exit(list(seen.values()) != wanted)
PY
