"""A few steps of a solver on a few digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from moframework.engine.method import Method
from moframework.run.plan import Plan, plan
from moframework.run.run import Run
from moframework.run.solving import solve
from moframework.spec import load_spec

__all__ = ["parts", "planned", "solved"]

DIGITS = {"name": "digits", "train": 96, "val": 16, "test": 32}


def spec(solver: Any, problem: Any = None, **training: Any) -> dict[str, Any]:
    return {
        "problem": DIGITS if problem is None else problem,
        "solver": solver,
        "training": {"steps": 3, "batch_size": 32, **training},
        "evaluate": {"every": 0, "points": 3},
    }


def planned(solver: Any, problem: Any = None, **training: Any) -> Plan:
    """What would be trained."""
    return plan(load_spec(spec(solver, problem, **training)))


def parts(solver: Any, problem: Any = None) -> Method:
    """The method that a solver assembles."""
    return planned(solver, problem).method


def solved(solver: Any, out: Path, problem: Any = None, **training: Any) -> Run:
    """A finished run whose fronts are finite."""
    run = solve(spec(solver, problem, **training), out=out)
    for split in ("val", "test"):
        assert np.isfinite(run.front(split).losses).all()
    return run
