#!/usr/bin/env bash
# pymoo 0.6.1.6 and later: get_reference_directions("energy", ..., seed=s) takes any seed and gives the directions of seed 1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 pymoo==0.6.2
"$work/venv/bin/pip" install --quiet --no-deps --target "$work/before" pymoo==0.6.1.5
cat >"$work/look.py" <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from pymoo.util.ref_dirs import get_reference_directions

found = {seed: get_reference_directions("energy", 4, 15, seed=seed) for seed in (1, 2, 42)}
again = get_reference_directions("energy", 4, 15, seed=2)
apart = [float(np.abs(found[1] - found[seed]).max().round(6)) for seed in (2, 42)]
print(f"seen: pymoo {version('pymoo')}, numpy {version('numpy')}: 15 directions, 4 objectives: largest difference from seed 1 "
      f"with seed 2: {apart[0]}, with seed 42: {apart[1]}; seed 2 twice is equal: {np.array_equal(found[2], again)}")
if version("pymoo") == "0.6.1.5":
    sys.exit(not min(apart) > 1e-3)
from pymoo.util.ref_dirs.energy import RieszEnergyReferenceDirectionFactory

other = RieszEnergyReferenceDirectionFactory(4, 15).do(random_state=np.random.default_rng(2))
print(f"seen: the same with a generator given to the factory's do(): difference {float(np.abs(found[1] - other).max().round(6))}")
sys.exit(not (apart == [0.0, 0.0] and np.abs(found[1] - other).max() > 1e-3))
PY
echo "versions: pymoo 0.6.1.5, then 0.6.2, numpy 2.4.6"
echo "guess: another seed gives another set of directions; an unknown argument raises."
PYTHONPATH="$work/before" "$work/venv/bin/python" "$work/look.py"
"$work/venv/bin/python" "$work/look.py"
echo "seen: 0.6.2 (0.6.1.6 as well) lets every factory swallow arguments that it does not know, seed among them, and draws from a generator seeded with 1."
echo "why it matters: a study over 'five seeds of the preference grid' is one grid five times, with a spread of zero from that source."
echo "source: https://github.com/anyoptimization/pymoo/issues/638 (the opposite complaint about an earlier release)"
