#!/usr/bin/env bash
# Platypus: with maximized objectives, points worse than the worst allowed add or subtract hypervolume, and the epsilon indicator has the wrong sign.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet platypus-opt==1.4.1
"$work/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import platypus
from platypus import Direction

print("versions: platypus-opt", version("platypus-opt"))
print("guess: indicators honor the problem's directions: maximizing f and minimizing its mirror image give one value.")


def solutions(front, direction):
    problem, made = platypus.Problem(0, 2), []
    problem.directions[:] = [direction] * 2
    for values in front:
        solution = platypus.Solution(problem)
        solution.objectives[:] = list(values)
        solution.evaluated, solution.constraint_violation = True, 0.0
        made.append(solution)
    return made


def maximized(front):
    return solutions(front, Direction.MAXIMIZE)


def minimized(front, mirror=4.0):
    return solutions([[mirror - value for value in point] for point in front], Direction.MINIMIZE)


hypervolume = platypus.Hypervolume(minimum=[0.0, 0.0], maximum=[4.0, 4.0])
fronts = {
    "three good points": [[1, 3], [2, 2], [3, 1]],
    "and one below the minimum in one objective": [[1, 3], [2, 2], [3, 1], [-2, 3.5]],
    "only that one": [[-2, 3.5]],
    "one below the minimum in both": [[-2, -2]],
}
seen = {name: (hypervolume.calculate(maximized(front)), hypervolume.calculate(minimized(front))) for name, front in fronts.items()}
for name, (up, down) in seen.items():
    print(f"seen: hypervolume, {name}: maximized {up:.4f}, mirrored and minimized {down:.4f}")
goal, worse = [[1, 3], [3, 1]], [[0.5, 2.5], [2.5, 0.5]]
epsilon = [platypus.EpsilonIndicator(make(goal)).calculate(make(worse)) for make in (maximized, minimized)]
print(f"seen: epsilon of a front that is a quarter of the range worse everywhere: maximized {epsilon[0]}, mirrored and minimized {epsilon[1]}")
print("seen: only minimized objectives are cut off at the bounds and turned around; a maximized one below its minimum stays negative, "
      "and two negative factors make a positive area. The epsilon indicator does not look at directions at all.")
print("why it matters: accuracy is maximized. A few bad points make a good front's hypervolume smaller, "
      "a single point that is terrible in every way can beat a fair one, and by epsilon the worse of two fronts wins.")
print("source: platypus/indicators.py as installed (classes Hypervolume and EpsilonIndicator)")
expected = {"three good points": (0.375, 0.375), "and one below the minimum in one objective": (0.3125, 0.375),
            "only that one": (-0.4375, 0.0), "one below the minimum in both": (0.25, 0.0)}
sys.exit(not (seen == expected and epsilon == [-0.25, 0.25]))
PY
