#!/usr/bin/env bash
# torch.load never looks at the CRC-32 that torch.save computes: a flipped bit in a weight is read as a weight.
# Installs a CUDA build of torch: several GB and some minutes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-cache-dir numpy==2.4.6 torch==2.14.1
"$work/venv/bin/python" - "$work" <<'PY'
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import torch

print("versions:", *(f"{name} {version(name)}" for name in ("torch", "numpy")))
print("guess: the file is a zip archive with a checksum per record, so torch.load refuses a record that does not match it.")
weights = torch.arange(1000.0)
whole, flipped = Path(sys.argv[1], "whole.pt"), Path(sys.argv[1], "flipped.pt")
torch.save({"weights": weights}, whole)
content = bytearray(whole.read_bytes())
start = content.find(weights.numpy().tobytes())
content[start + 4 * 500 + 2] ^= 0x40  # one bit of weight number 500
flipped.write_bytes(content)
ok = start > 0
for how in ({}, {"mmap": True}, {"weights_only": False}):
    read = torch.load(flipped, **how)["weights"]
    wrong = (read != weights).nonzero().flatten().tolist()
    print(f"seen: torch.load with {how or 'its defaults'}: no error, no warning; weight {wrong} is {read[500].item()} instead of {weights[500].item()}")
    ok &= wrong == [500]
refused = {path.name: zipfile.ZipFile(path).testzip() for path in (whole, flipped)}
print(f"seen: the first bad record by Python's zipfile: {refused}")
ok &= refused["whole.pt"] is None and refused["flipped.pt"] is not None
print("why it matters: a disk or a copy that flips a bit changes a model silently, although the file holds all that is needed to notice. "
      "zipfile.ZipFile(path).testzip() on a checkpoint before it is loaded finds it, unless the file was saved with compute_crc32=False.")
print("source: https://github.com/pytorch/pytorch/issues/126952")
sys.exit(not ok)
PY
