#!/usr/bin/env bash
# pygmo: with one objective alike in all points, the inner points of a front are chosen and its ends are dropped.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 pygmo==2.20.0
"$work/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import numpy
import pygmo

print("versions:", *(f"{name} {version(name)}" for name in ("pygmo", "numpy")))
print("guess: an objective that is alike in all points counts for nothing in the crowding distance, and the points that are chosen by it are those that are chosen without that objective.")
front = [[0.0, 3.0], [1.0, 2.0], [1.1, 1.9], [2.0, 1.0], [3.0, 0.0]]
third = [[*point, 1.0] for point in front]
nearly = [[*point, 1.0 + 1e-12 * row] for row, point in enumerate(front)]
for name, points in (("two objectives", front), ("a third, alike in all", third), ("a third, alike to 1e-12", nearly)):
    print(f"{name}: distances {numpy.round(pygmo.crowding_distance(points), 3).tolist()}; the best two are {sorted(pygmo.select_best_N_mo(points, 2).tolist())}")
print("seen: distances that are NaN for all points but the ends, and of these, for which NaN is neither more nor less, the best two are points 1 and 2, side by side; the ends, whose distance is infinite, are dropped.")
print("why it matters: a task whose loss nobody changes, or a metric that is 0 for every model, turns a selection for spread into one without; nothing is told.")
print("source: documentation of pygmo, crowding_distance and select_best_N_mo (points of the last front are taken by decreasing crowding distance); pagmo divides by the range of each objective in the front")
with_third = pygmo.crowding_distance(third)
sys.exit(not (
    numpy.isnan(with_third[1:4]).all()
    and sorted(pygmo.select_best_N_mo(third, 2)) == [1, 2]
    and sorted(pygmo.select_best_N_mo(front, 2)) == [0, 4]
))
PY
