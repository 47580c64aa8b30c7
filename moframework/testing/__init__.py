"""The conformance suite: what every solver, problem and schedule claims, checked on whatever is registered.

For authors of plug-ins, and for moframework itself. Nothing here needs pytest; a claim that does not hold raises
`AssertionError` with what was found. What must not live here: anything that knows a solver or a problem by name.

The matrix of solvers and problems, in a test file of yours::

    import pytest
    from moframework.testing import check_pair, pairs

    @pytest.mark.parametrize("pair", pairs(solvers=["my_solver"]), ids=str)
    def test_conformance(pair, tmp_path):
        outcome = check_pair(pair, tmp_path)
        if outcome.state == "not run":
            pytest.skip(outcome.reason)

A pair that cannot work is to be refused with a reason before the first batch, which is checked too; so also make sure
that something was solved: `assert any(check_pair(...).state == "solved" ...)`.
"""

from moframework._moved import renamed
from moframework.testing.matrix import Pair, pairs, without_options
from moframework.testing.members import with_members
from moframework.testing.pair import Conformance, check_pair
from moframework.testing.parts import check_problem, check_schedule
from moframework.testing.subset import Subset
from moframework.testing.whole import check_run

__all__ = [
    "Conformance",
    "Pair",
    "Subset",
    "check_pair",
    "check_problem",
    "check_run",
    "check_schedule",
    "pairs",
    "with_members",
    "without_options",
]

__getattr__ = renamed(__name__, {"Few": "Subset", "Outcome": "Conformance"})
