from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from moframework.benchmark.loading import load_benchmark
from moframework.benchmark.results import Results
from moframework.benchmark.spec import ImportedEntry
from moframework.benchmark.statistics.analysis import MOST_PAIRED, analyze
from moframework.benchmark.statistics.found import Compared
from moframework.benchmark.statistics.page import to_section
from moframework.benchmark.statistics.plain import to_plain
from moframework.benchmark.statistics.ranking import critical_difference
from moframework.benchmark.statistics.spec import Statistics
from moframework.errors import SpecError
from tests.benchmark.parts import tiny
from tests.benchmark.statistics.made import KEY, made
from tests.benchmark.test_measures import front
from tests.schemas.validation import faults

OPTIONS = Statistics()


def only(found: list[object], options: Statistics = OPTIONS) -> Compared:
    (measure,) = analyze(found, options).measures  # type: ignore[arg-type]
    return measure


def page_of(found: list[object]) -> str:
    return "\n".join(to_section(analyze(found, OPTIONS), {}))  # type: ignore[arg-type]


def test_one_problem_is_compared_over_its_seeds() -> None:
    group = made({"a": {0: 0.5, 1: 0.6, 2: 0.7}, "b": {0: 0.4, 1: 0.5, 2: 0.3}})
    found = only([group])
    assert (found.blocks, found.ranking, found.profile) == ("seeds", None, None)
    assert [(one.solver, one.mean) for one in found.means] == [("a", pytest.approx(0.6)), ("b", pytest.approx(0.4))]
    (pair,) = found.pairs
    assert (pair.first, pair.second, pair.wins, pair.losses) == ("a", "b", 3, 0)
    assert pair.difference == pytest.approx(0.2)
    assert any("Chances from 3 seeds" in note for note in found.notes)


def test_seeds_that_failed_are_left_out_and_told() -> None:
    found = only([made({"a": {0: 0.5, 1: None, 2: 0.7}, "b": {0: 0.4, 1: 0.5, 2: 0.3}, "c": {0: None, 1: None}})])
    assert "Left out of tests: seeds 1, which not all contenders have finished." in found.notes
    assert "Left out of tests: c (without a value)." in found.notes
    (pair,) = found.pairs
    assert pair.wins == 2
    assert [len(one.values) for one in found.means] == [2, 3, 0]
    assert found.means[2].interval.note == "no value"


def test_too_few_seeds_for_a_test() -> None:
    found = only([made({"a": {0: 0.5}, "b": {0: 0.4, 1: 0.5}})])
    assert (found.blocks, found.pairs) == (None, ())
    assert any("fewer than two seeds" in note for note in found.notes)


def several(n: int, **more: object) -> list[object]:
    """Contenders a, b, c in this order on every problem, with ties on the first."""
    return [
        made(
            {"a": {0: 0.9, 1: 0.8}, "b": {0: 0.9 if k == 0 else 0.5, 1: 0.8 if k == 0 else 0.4}, "c": {0: 0.2, 1: 0.1}},
            f"p{k}",
        )
        for k in range(n)
    ]


def test_several_problems_are_ranked() -> None:
    found = only(several(6))
    assert found.blocks == "problems"
    assert found.ranking is not None
    assert found.ranking.ranks == pytest.approx(((1.5 + 5) / 6, (1.5 + 10) / 6, 3))
    assert found.ranking.critical_difference == pytest.approx(critical_difference(3, 6, 0.95))
    assert found.ranking.groups == (("a", "b"), ("b", "c"))
    assert found.profile is not None
    assert found.profile.ratios.shape == (12, 3)
    assert [pair.p_holm >= pair.p for pair in found.pairs] == [True] * 3
    text = page_of(several(6))
    assert "| a | 1.08 |" in text
    assert "Groups that it does not tell apart: a, b; b, c." in text
    assert "nan" not in text


def test_a_problem_without_a_value_is_left_out_and_told() -> None:
    lacking = made({"a": {0: 0.5}, "b": {0: None}, "c": {0: 0.1}}, "lacking")
    found = only([*several(3), lacking])
    assert found.ranking is not None
    assert found.ranking.problems == 3
    assert "Left out of tests: lacking, for want of a comparable value of b." in found.notes
    assert found.profile is not None
    assert np.isinf(found.profile.ratios[-1, 1]), "which in a profile counts against it"
    uneven = made({"a": {0: 0.5, 1: 0.4}, "b": {0: 0.3, 1: None}, "c": {0: 0.1, 1: 0.1}}, "uneven")
    assert any("unequal numbers of seeds: a 2, b 1, c 2" in note for note in only([*several(2), uneven]).notes)


def test_ties_everywhere_are_told_and_never_nan() -> None:
    tied = [made({name: {0: 0.5, 1: 0.5} for name in "abc"}, f"p{k}") for k in range(15)]
    found = only(tied)
    assert found.ranking is not None
    assert (found.ranking.friedman, found.ranking.groups) == (None, ())
    assert found.ranking.ranks == (2.0, 2.0, 2.0)
    assert [(pair.p, pair.note) for pair in found.pairs] == [(1.0, "equal everywhere")] * 3
    assert "All contenders are tied on every problem: there is nothing to test." in found.notes
    text = page_of(tied)
    assert "nan" not in text
    assert "Of a − b: equal everywhere." in text
    assert "– (all 2 values are equal, so nothing is known of the spread)" in text
    nothing = [made({name: {0: 0.0} for name in "ab"}, f"p{k}") for k in range(2)]
    assert any("2 of 2 problems and seeds, on which no" in note for note in only(nothing).notes)


def test_few_problems_cannot_tell_contenders_apart() -> None:
    assert any("With 3 problems no p-value of a pair can be below 0.25" in note for note in only(several(3)).notes)
    assert not any("no p-value" in note for note in only(several(6)).notes)


def test_of_many_contenders_each_is_held_against_the_best() -> None:
    names = [f"s{k}" for k in range(MOST_PAIRED + 1)]
    group = made({name: {seed: k + 0.1 * seed * k for seed in range(3)} for k, name in enumerate(names)})
    found = only([group])
    assert [pair.first for pair in found.pairs] == [names[-1]] * MOST_PAIRED


@pytest.mark.parametrize(("key", "first"), [("processor_seconds", "slow"), ("attained", "slow")])
def test_directions_are_those_of_the_column(key: str, first: str) -> None:
    group = made({"slow": {0: 2.0, 1: 3.0}, "fast": {0: 1.0, 1: 1.5}}, key=key)
    (pair,) = only([group], Statistics(measures=(key,))).pairs
    assert (pair.first, pair.wins) == (first, 0 if key == "processor_seconds" else 2)


def test_measures_that_cannot_be_compared_are_told() -> None:
    group = made({"a": {0: 11.0, 1: 11.0}}, key="preferences")
    found = analyze([group], Statistics(measures=("preferences", "speed")))
    assert found.measures == ()
    assert "`speed` is no column of this table; it has: preferences." in found.notes
    assert "`preferences` is not compared: neither larger nor smaller is better for all tasks." in found.notes


def test_imported_results_of_another_problem_take_no_part() -> None:
    entry = ImportedEntry(label="theirs", file=Path("x.csv"), source="s", license="l", differs="another draw")
    seeds = {0: 0.5, 1: 0.6}
    one = made({"a": seeds, "b": {0: 0.4, 1: 0.45}, "theirs": seeds}, imported={"theirs": entry})
    found = only([one])
    assert [len(found.means), len(found.pairs)] == [3, 1]
    assert "Left out of tests: theirs (another draw)." in found.notes
    same = ImportedEntry(label="theirs", file=Path("x.csv"), source="s", license="l")
    found = only([made({"a": seeds, "theirs": seeds}, imported={"theirs": same})])
    assert "Left out of tests: theirs (its seeds are not ours)." in found.notes
    groups = [
        made({"a": seeds, "b": {0: 0.4, 1: 0.45}, "theirs": seeds}, f"p{k}", imported={"theirs": same})
        for k in range(3)
    ]
    found = only(list(groups))
    assert found.ranking is not None
    assert found.ranking.solvers == ("a", "b", "theirs"), "over problems only means count"
    assert found.profile is not None
    assert found.profile.solvers == ("a", "b")


def test_surfaces_of_two_and_three_tasks_and_words_for_more() -> None:
    low, high = front([[0.2, 0.4]]), front([[0.4, 0.2]])
    group = made({"a": {0: 1.0, 1: 1.0}, "b": {0: 1.0}}, fronts={"a": (low, high), "b": (low,)})
    (found,) = analyze([group], OPTIONS).attainments
    (row,) = found.rows
    assert row.levels == (2, 1)
    assert row.corners[0].tolist() == [[0.4, 0.4]]
    assert row.corners[1].tolist() == [[0.2, 0.4], [0.4, 0.2]]
    assert row.hypervolumes == pytest.approx((0.36, 0.6 * 0.8 + 0.2 * 0.6))
    assert found.notes == ("Of one seed, and so without surfaces: b.",)
    many = front([[0.1] * 4], tasks=tuple("abcd"), preferences=[[0.25] * 4], reference=(1.0,) * 4)
    (found,) = analyze([made({"a": {0: 1.0, 1: 1.0}}, fronts={"a": (many, many)})], OPTIONS).attainments
    assert "this problem has 4" in found.notes[0]
    assert analyze([made({"a": {0: 1.0}}, fronts={"a": (low,)})], OPTIONS).attainments == ()


def test_the_plain_form_is_as_its_schema_says(finished: tuple[Results, Path]) -> None:
    data = json.loads((finished[1] / "results.json").read_text())
    for found in (several(6), several(1), [made({"a": {0: 0.5, 1: None}, "b": {0: 0.1}})]):
        data["statistics"] = json.loads(json.dumps(to_plain(analyze(found, OPTIONS), {}), allow_nan=False))  # type: ignore[arg-type]
        assert faults("results", data) == []
    pairs = to_plain(analyze(several(6), OPTIONS), {f"ranks/{KEY}": "x.png"})["measures"][0]  # type: ignore[arg-type]
    assert pairs["figure"] == "x.png"
    assert pairs["pairs"][0]["chances"]["first"] > 0.5


def test_the_page_of_a_benchmark_has_the_section(finished: tuple[Results, Path]) -> None:
    results, folder = finished
    assert results.analysis is not None
    page = (folder / "results.md").read_text()
    assert page.index("## small") < page.index("## Statistics") < page.index("## How it was made")
    assert "### Hypervolume, accuracy, larger is better" in page
    assert "![Attainment surfaces on small](<attainment-small.png>)" in page
    assert "The course of adapters, networks is not known" in page
    assert to_section(analyze([], OPTIONS), {}) == [], "nothing is finished"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"measures": ["a", "a"]}, "names a column twice"),
        ({"confidence": 1.0}, "confidence"),
        ({"rope": -1.0}, "rope"),
        ({"interval": "z"}, "interval"),
    ],
)
def test_wrong_options(options: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        load_benchmark(tiny(statistics=options))
    assert load_benchmark(tiny(statistics=None)).statistics is None
