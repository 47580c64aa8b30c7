"""A short mode of `tests.faults.specs`, and what its checks catch."""

from __future__ import annotations

from pathlib import Path

from moframework.config import unstructure
from moframework.spec import load_spec
from tests.faults.specs import differs, run


def test_mutants_are_refused_or_mean_what_they_say() -> None:
    result = run(300, seed=7)
    assert result.faultless, "\n".join([str(result), *result.examples])
    assert result.mutants == 300
    assert result.accepted >= 20
    assert result.refused >= 200


def test_the_same_seed_makes_the_same_mutants() -> None:
    first, second = run(20, seed=1), run(20, seed=1)
    assert (first.accepted, first.refused) == (second.accepted, second.refused)


def test_what_is_taken_for_something_else_is_seen(tmp_path: Path) -> None:
    meant = unstructure(load_spec({"problem": "digits", "solver": {"name": "palora", "rank": 2}}))
    said = {"problem": "digits", "solver": {"name": "palora", "rank": "2"}}
    assert differs(said, meant, tmp_path) is None
    assert differs({**said, "seed": "1"}, meant, tmp_path) == ".seed is '1', but means 0"
    assert differs({**said, "sed": "0"}, meant, tmp_path) == ".sed is not in the canonical form"
    assert differs({**said, "solver": "pamal"}, meant, tmp_path) is not None
    assert differs({**said, "solver": {"name": "palora", "rank": "two"}}, meant, tmp_path) is not None
    assert differs({**said, "training": {"compile": "no"}}, meant, tmp_path) is not None
