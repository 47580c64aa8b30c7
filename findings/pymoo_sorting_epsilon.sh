#!/usr/bin/env bash
# pymoo 0.6.2: NonDominatedSorting(epsilon=...) subtracts epsilon from every point, so it changes nothing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 pymoo==0.6.2
"$work/venv/bin/pip" install --quiet --no-deps --target "$work/before" pymoo==0.6.1.6
cat >"$work/look.py" <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

points = np.array([[0.0, 1.0], [0.5, 0.5], [0.52, 0.52], [1.0, 0.0], [1.02, 0.02], [2.0, 2.0]])


def fronts(epsilon):
    return [sorted(front.tolist()) for front in NonDominatedSorting(epsilon=epsilon).do(points)]


found = {epsilon: fronts(epsilon) for epsilon in (None, 0.1, 100.0)}
print(f"seen: pymoo {version('pymoo')}, numpy {version('numpy')}: fronts by epsilon: {found}")
plain, some = [[0, 1, 3], [2, 4], [5]], [[0, 1, 2, 3, 4], [5]]
if version("pymoo") == "0.6.1.6":
    sys.exit(found != {None: plain, 0.1: some, 100.0: [[0, 1, 2, 3, 4, 5]]})
sys.exit(found != {None: plain, 0.1: plain, 100.0: plain})
PY
echo "versions: pymoo 0.6.1.6 and 0.6.2, numpy 2.4.6"
echo "guess: with epsilon, differences up to epsilon do not count, as before: 0.52 is not dominated by 0.5 at 0.1."
PYTHONPATH="$work/before" "$work/venv/bin/python" "$work/look.py"
"$work/venv/bin/python" "$work/look.py"
echo "seen: 0.6.2 shifts all points alike before ranking them, and no order changes under a common shift; an epsilon of any size has no effect."
echo "why it matters: noisy objectives (validation losses over seeds) were put in one front within the noise; after an upgrade the noise decides again, without a warning."
echo "source: pymoo/util/nds/non_dominated_sorting.py as installed"
