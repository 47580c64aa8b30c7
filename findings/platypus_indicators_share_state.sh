#!/usr/bin/env bash
# Platypus: computing the hypervolume of a reference set changes what the other indicators with that set say afterward.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet platypus-opt==1.4.1
"$work/venv/bin/python" - <<'PY'
import math
import sys
from importlib.metadata import version

import platypus

print("versions: platypus-opt", version("platypus-opt"))
print("guess: calculate() of an indicator only reads: the order of the calls does not matter.")


def solutions(front):
    problem, made = platypus.Problem(0, 2), []
    for values in front:
        solution = platypus.Solution(problem)
        solution.objectives[:] = list(values)
        solution.evaluated, solution.constraint_violation = True, 0.0
        made.append(solution)
    return made


angles = [k * math.pi / 98 for k in range(50)]
reference = solutions([(math.cos(a), math.sin(a) ** 3) for a in angles])
front = solutions([(0.05 + 0.9 * math.cos(a), 0.05 + 0.9 * math.sin(a) ** 3) for a in angles[::5]])
indicators = [platypus.GenerationalDistance(reference), platypus.InvertedGenerationalDistance(reference), platypus.EpsilonIndicator(reference)]
hypervolume = platypus.Hypervolume(reference_set=reference)


def values():
    return [round(indicator.calculate(front), 6) for indicator in indicators]


before = values()
best = hypervolume.calculate(reference)  # the best possible value, to report the front's as a share of it
after = values()
indicators[0].calculate(reference)
restored = values()
print(f"seen: GD, IGD, epsilon of a front: {before}; after the hypervolume of the reference set ({best:.4f}) was asked for: {after}; "
      f"after the GD of the reference set: {restored}")
print("seen: the scaled objectives live on the solutions, all indicators with one reference set share them, "
      "and the hypervolume turns them around (1 - value) and leaves them so.")
print("why it matters: a table with the relative hypervolume first and IGD after it holds wrong IGD values, "
      "and the same script with two lines swapped holds right ones. Give every indicator its own copy of the reference set.")
print("source: platypus/indicators.py as installed (class Hypervolume, method invert)")
sys.exit(not (before == restored and all(abs(b - a) > 0.01 for a, b in zip(before, after, strict=True))))
PY
