#!/usr/bin/env bash
# Nevergrad: a point beyond the reference point makes the hypervolume smaller, even negative; the others ignore it or refuse.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 nevergrad==1.0.12 moocore==0.3.2 moarchiving==1.1.0
"$work/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import moocore
import numpy as np
from moarchiving import get_mo_archive
from nevergrad.optimization.multiobjective.hypervolume import HypervolumeIndicator

print("versions:", *(f"{name} {version(name)}" for name in ("nevergrad", "moocore", "moarchiving", "numpy")))
print("guess: a point that is worse than the reference in one objective adds nothing; more points never make the hypervolume smaller.")


def by_library(points, reference):
    points, reference = np.array(points, float), np.array(reference, float)
    return {
        "nevergrad": float(HypervolumeIndicator(reference).compute(list(points))),
        "moocore": float(moocore.hypervolume(points, ref=reference)),
        "moarchiving": float(get_mo_archive(points.tolist(), reference_point=reference.tolist()).hypervolume),
    }


seen = []
for what, points, reference in (
    ("two points inside", [[1, 3], [3, 1]], [4, 4]),
    ("and one on the boundary", [[1, 3], [3, 1], [0, 4]], [4, 4]),
    ("and one beyond it in one objective", [[1, 3], [3, 1], [0, 5]], [4, 4]),
    ("that one alone", [[0, 5]], [4, 4]),
    ("3 objectives, two inside, one beyond in one", [[1, 3, 1], [3, 1, 1], [0, 0, 5]], [4, 4, 4]),
):
    seen.append(by_library(points, reference))
    print(f"seen: {what}: " + ", ".join(f"{name} {value:g}" for name, value in seen[-1].items()))
print("seen: Nevergrad's indicator adds the signed box of every point; a side beyond the reference counts as negative.")
print("why it matters: the reference point is fixed early, one diverged model lies beyond it, and the hypervolume of the whole front drops: "
      "from 15 to 4 here, with two good models unchanged. Its own archive never passes such points on; other callers must drop them as well.")
print("source: nevergrad/optimization/multiobjective/hypervolume.py as installed (the docstring speaks of a region bounded by the reference point)")
right, nevergrad = [5, 5, 5, 0, 15], [5, 5, 4, -4, 4]
ok = all(found["moocore"] == found["moarchiving"] == value for found, value in zip(seen, right, strict=True))
sys.exit(not (ok and [found["nevergrad"] for found in seen] == nevergrad))
PY
