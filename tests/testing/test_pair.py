"""The suite finds what is wrong: each faulty solver fails on its claim, and only good ones pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from moframework.testing import check_pair, check_run, pairs
from moframework.testing.matrix import Named
from tests.testing.faulty import Boastful, Demanding, Faulty

PROBLEM = {"name": "quadratics", "copies": 6}


def check(solver: Named, folder: Path, problem: Named = PROBLEM, **limits: int) -> tuple[str, str]:
    (pair,) = pairs([solver], [problem])
    outcome = check_pair(pair, folder, **limits)
    return outcome.state, outcome.reason


def test_a_good_solver_passes(tmp_path: Path) -> None:
    assert check(Faulty(), tmp_path) == ("solved", "")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("noisy", "the front of the saved and loaded model is off"),
        ("unsaved", "the front of the saved and loaded model is off"),
        ("groupless", r"parameter_groups\(\) of \w+ leave out '[\w.]+': every parameter to train is in one group"),
        ("twice", r"parameter_groups\(\) of \w+ hold .* more than once"),
        ("frozen", "training changed no weight"),
        ("silent", "refused without a reason: 'no'"),
    ],
)
def test_a_broken_claim_is_found(fault: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=message):
        check(Faulty(fault=fault), tmp_path)


def test_a_loss_that_is_not_finite_is_found(tmp_path: Path) -> None:
    from moframework.errors import NonFiniteLossError

    with pytest.raises(NonFiniteLossError, match="the loss of task 'f1' is nan"):
        check(Faulty(fault="infinite"), tmp_path)


def test_a_schedule_that_is_not_pure_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="repeated with the same seed, the training ends with other weights"):
        check(Faulty(counting=True), tmp_path)


def test_capabilities_that_are_not_true_are_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="declares continuous = False, but its weight space answers every"):
        check(Boastful(), tmp_path)


def test_a_refusal_with_a_reason_passes(tmp_path: Path) -> None:
    state, reason = check(Demanding(size=1), tmp_path)
    assert state == "refused"
    assert "1 networks cannot cover 2 tasks" in reason


def test_missing_data_and_large_networks_are_not_run(tmp_path: Path) -> None:
    absent = {"name": "multimnist", "root": str(tmp_path / "nothing")}
    state, reason = check("multipoint", tmp_path, absent)
    assert (state, reason.split(":")[0]) == ("not run", "data is missing")
    state, reason = check("multipoint", tmp_path, PROBLEM, max_parameters=1)
    assert (state, reason) == ("not run", "the network has 2 parameters, more than 1")


def test_a_solver_in_a_file(tmp_path: Path) -> None:
    """By `python:`, as a plug-in is before it is installed."""
    here = Path(__file__).with_name("faulty.py")
    assert check({"python": f"{here}:Faulty"}, tmp_path)[0] == "solved"
    with pytest.raises(AssertionError, match="more than once"):
        check({"python": f"{here}:Faulty", "fault": "twice"}, tmp_path)


def test_whole_runs(tmp_path: Path) -> None:
    (pair,) = pairs([Faulty()], [PROBLEM])
    run = check_run(pair, tmp_path / "good")
    assert (run.path / "front.png").is_file()
    (pair,) = pairs([Faulty(counting=True)], [PROBLEM])
    with pytest.raises(AssertionError, match="solved again, gives another val front"):
        check_run(pair, tmp_path / "bad")
