#!/usr/bin/env bash
# safetensors.numpy: from 0.8.0 on, an array that is not in C order is saved without complaint and read back with its values in other places.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 safetensors==0.8.0
"$work/venv/bin/pip" install --quiet --no-deps --target "$work/before" safetensors==0.7.0
cat >"$work/look.py" <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from safetensors.numpy import load, save

row_major = np.arange(6, dtype=np.float32).reshape(2, 3)
transposed = row_major.T  # the usual way to a (3, 2) factor; a view, so its memory is in Fortran order
read = load(save({"factor": transposed}))["factor"]
same = np.array_equal(read, transposed)
print(f"seen: safetensors {version('safetensors')}, numpy {version('numpy')}: saved {transposed.tolist()}, "
      f"read {read.tolist()}: {'the same' if same else 'other values, same shape, same type, no error'}")
if version("safetensors") == "0.7.0":
    sys.exit(not same)
assert np.array_equal(load(save({"factor": np.ascontiguousarray(transposed)}))["factor"], transposed)
in_memory_order = row_major.reshape(3, 2)
sys.exit(same or not np.array_equal(read, in_memory_order))
PY
echo "versions: safetensors 0.7.0 and 0.8.0, numpy 2.4.6"
echo "guess: safetensors.numpy keeps every array's values, or refuses one that is not contiguous, as safetensors.torch does."
PYTHONPATH="$work/before" "$work/venv/bin/python" "$work/look.py"
"$work/venv/bin/python" "$work/look.py"
echo "seen: 0.8.0 writes the memory of the array as it lies and the shape as numpy tells it; the two agree in C order only."
echo "why it matters: a low-rank factor, a whitening matrix or a projection kept as a transposed view is scrambled on disk; only its numbers tell. np.ascontiguousarray before saving is right in both versions."
echo "source: https://github.com/safetensors/safetensors/issues/825"
