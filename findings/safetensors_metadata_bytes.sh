#!/usr/bin/env bash
# safetensors: the same tensors with the same metadata give another file at every call.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 safetensors==0.8.0
"$work/venv/bin/python" - <<'PY'
import hashlib
import sys
from importlib.metadata import version

import numpy as np
from safetensors.numpy import load, save

print("versions:", *(f"{name} {version(name)}" for name in ("safetensors", "numpy")))
print("guess: equal tensors and equal metadata give equal bytes: the keys of the tensors are sorted, after all.")
tensors = {"b": np.ones(3, np.float32), "a": np.zeros(2, np.float32)}
metadata = {f"key {k}": str(k) for k in range(8)}


def files(**more):
    return [save(tensors, **more) for _ in range(20)]


bare, marked = ({hashlib.sha256(file).hexdigest() for file in files(**more)} for more in ({}, {"metadata": metadata}))
print(f"seen: 20 calls in one process: {len(bare)} different file without metadata, {len(marked)} different files with 8 keys")
orders = [file[8 : 8 + int.from_bytes(file[:8], "little")].split(b"}")[0].decode() for file in files(metadata=metadata)]
for order in orders[:2]:
    print("seen:", order)
print("seen: all files have one length and load to the same tensors; only the order of the metadata's keys differs.")
print("why it matters: a content hash of a checkpoint file, a cache key or a test that compares files byte by byte "
      "calls an unchanged model changed. Hash the tensors, or keep all metadata as one JSON text under one key.")
print("source: https://github.com/safetensors/safetensors/issues/584")
single = {hashlib.sha256(file).hexdigest() for file in files(metadata={"all": str(metadata)})}
lengths = {len(file) for file in files(metadata=metadata)}
loaded = all(np.array_equal(load(file)[key], tensors[key]) for file in files(metadata=metadata) for key in tensors)
sys.exit(not (len(bare) == len(single) == len(lengths) == 1 and loaded and len(marked) > 1))
PY
