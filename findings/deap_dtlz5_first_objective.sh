#!/usr/bin/env bash
# DEAP: the first objective of its DTLZ5 and DTLZ6 is another function than everyone else's, with a front that depends on the number of variables.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 deap==1.4.4 pymoo==0.6.2 optproblems==1.3 diversipy==0.9
"$work/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from deap import benchmarks
from optproblems import dtlz
from pymoo.problems import get_problem

print("versions:", *(f"{name} {version(name)}" for name in ("deap", "pymoo", "optproblems", "numpy")))
print("guess: a benchmark from a paper of 2002 has the same values in every library; "
      "with optimal distance variables the objectives of DTLZ5 and DTLZ6 lie on the unit sphere.")


def three(name, x, objectives=3):
    """The objectives at x by DEAP, pymoo and optproblems."""
    return (
        np.array(getattr(benchmarks, name)(list(x), objectives)),
        get_problem(name, n_var=len(x), n_obj=objectives).evaluate(x),
        np.array(getattr(dtlz, name.upper())(objectives, len(x)).objective_function(list(x))),
    )


ok = True
for name, best in (("dtlz5", 0.5), ("dtlz6", 0.0)):
    for variables in (12, 22):
        x = np.r_[0.25, 0.6, np.full(variables - 2, best)]  # a Pareto-optimal solution
        deap, pymoo, other = three(name, x)
        print(f"seen: {name}, {variables} variables, optimal x: DEAP {deap.round(6).tolist()}, length {np.linalg.norm(deap):.4f}; "
              f"pymoo and optproblems {pymoo.round(6).tolist()}, length {np.linalg.norm(pymoo):.4f}")
        ok &= np.allclose(pymoo, other) and np.isclose(np.linalg.norm(pymoo), 1)
        ok &= np.allclose(deap[1:], pymoo[1:]) and deap[0] < 0.1 * pymoo[0]
    random = three(name, np.random.default_rng(0).random(12))
    ok &= np.allclose(random[1], random[2]) and np.allclose(random[0][1:], random[1][1:]) and not np.isclose(random[0][0], random[1][0])
for name in ("dtlz1", "dtlz2", "dtlz3", "dtlz7"):
    random = three(name, np.random.default_rng(0).random(12))
    ok &= np.allclose(random[0], random[1])
print("seen: DEAP multiplies the cosines of all variables after the first into the first objective, the distance variables too; "
      "the other objectives agree everywhere, and so do DTLZ1, 2, 3 and 7.")
print("why it matters: DEAP's optimum dominates the published front, so a hypervolume from DEAP beats the best one possible, "
      "and a GD or IGD against the usual reference front never comes near 0.")
print("source: https://github.com/DEAP/deap/pull/104 (open since 2015)")
sys.exit(not ok)
PY
