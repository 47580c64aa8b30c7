#!/usr/bin/env bash
# GD and IGD of one name are different functions: jMetalPy's IGD and Platypus's GD shrink with the number of points.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 pymoo==0.6.2 moocore==0.3.2 jmetalpy==1.9.0 platypus-opt==1.4.1
"$work/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import moocore
import numpy as np
import platypus
from jmetal.core import quality_indicator as jmetal
from pymoo.indicators.gd import GD
from pymoo.indicators.igd import IGD

print("versions:", *(f"{name} {version(name)}" for name in ("jmetalpy", "platypus-opt", "pymoo", "moocore", "numpy")))
print("guess: GD and IGD are mean distances in all four libraries, so four times as many points on the same curves change them little.")


def arc(points, radius=1.0):
    angle = np.linspace(0, np.pi / 2, points)
    return radius * np.c_[np.cos(angle), np.sin(angle)]


def solutions(front):
    """As Platypus wants them. It scales by the range of the reference set, here [0, 1] in both objectives."""
    problem, made = platypus.Problem(0, 2), []
    for values in front:
        solution = platypus.Solution(problem)
        solution.objectives[:] = values.tolist()
        solution.evaluated, solution.constraint_violation = True, 0.0
        made.append(solution)
    return made


def both(front, reference):
    """GD and IGD by each library."""
    theirs, goal = solutions(front), solutions(reference)
    return {
        "pymoo": (GD(reference)(front), IGD(reference)(front)),
        "moocore": (moocore.igd(reference, ref=front), moocore.igd(front, ref=reference)),
        "jmetalpy": (jmetal.GenerationalDistance(reference).compute(front),
                     jmetal.InvertedGenerationalDistance(reference).compute(front)),
        "platypus-opt": (platypus.GenerationalDistance(goal).calculate(theirs),
                         platypus.InvertedGenerationalDistance(goal).calculate(theirs)),
    }


few, many = both(arc(51, 1.1), arc(101)), both(arc(204, 1.1), arc(404))
for name in few:
    print(f"seen: {name}: GD {few[name][0]:.5f}, with 4 times the points {many[name][0]:.5f}; IGD {few[name][1]:.5f}, then {many[name][1]:.5f}")
print("seen: jMetalPy takes the mean in GD and the root of the sum of squares over n in IGD, Platypus the other way around; "
      "these two halve when the points are four times as many.")
print("why it matters: IGD values from two papers or two libraries differ by the root of the number of points, here a factor of ten and twenty, "
      "and with jMetalPy a finer reference front makes every algorithm look better. Platypus's GD with d=1 and "
      "jMetalPy's IGD with pow=1 are means.")
print("source: the docstrings of jmetal.core.quality_indicator and platypus.indicators in these versions")
mean = few["pymoo"]
ok = np.allclose(mean, few["moocore"]) and np.isclose(mean[0], few["jmetalpy"][0]) and np.isclose(mean[1], few["platypus-opt"][1])
ok &= few["jmetalpy"][1] < 0.2 * mean[1] and few["platypus-opt"][0] < 0.2 * mean[0]
ok &= np.isclose(many["jmetalpy"][1] / few["jmetalpy"][1], 0.5, atol=0.02) and np.isclose(many["platypus-opt"][0] / few["platypus-opt"][0], 0.5, atol=0.02)
ok &= np.isclose(many["pymoo"][1] / mean[1], 1, atol=0.02)
sys.exit(not ok)
PY
