"""What a whole run claims: its directory, and that killed and resumed it ends the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from moframework.run.run import Run
from moframework.run.solving import solve
from moframework.testing.matrix import Pair
from moframework.testing.members import with_members

__all__ = ["check_run"]


def check_run(pair: Pair, folder: Path) -> Run:
    """Solve a pair as the command line does, and check what is left on disk.

    The run says `done`; fronts of `val` and `test` are there with a hypervolume; its spec, solved again, gives the same
    fronts.

    Args:
        pair: one that `check_pair` finds solved.
        folder: an empty folder to write into.

    Raises:
        AssertionError: a claim does not hold.
        MoframeworkError: the run failed.
    """
    run = solve(with_members(pair, folder).spec(), folder / "run")
    assert run.status == "done", f"the run ended with status {run.status}"
    again = solve(run.spec, folder / "again")
    for split in ("val", "test"):
        front = run.front(split)
        assert np.isfinite(front.hypervolume()), f"the {split} front has the hypervolume {front.hypervolume()}"
        assert front == again.front(split), f"the spec of the run, solved again, gives another {split} front"
    return run
