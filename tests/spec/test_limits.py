"""Specs that stand for more than their size: each is refused in words, in less than a second or two."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moframework import load_benchmark, load_spec
from moframework.errors import SpecError
from moframework.spec.limits import Allowance

ENOUGH = "problem: digits\nsolver: palora\n"
SECONDS = 10.0
"""Limits make these take tenths; a machine that does much else must not fail the tests."""


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    began = time.perf_counter()
    yield
    assert time.perf_counter() - began < SECONDS


def refused(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(SpecError) as error:
        load_spec(path)
    return str(error.value)


def aliases(first: str, each: str) -> str:
    """Seven lists of ten of the list before: ten million values in all, were they laid out."""
    lines = [f"a0: &a0 {first}", *(f"a{i}: &a{i} {each.format(', '.join([f'*a{i - 1}'] * 10))}" for i in range(1, 8))]
    return "\n".join(lines) + "\n" + ENOUGH


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (aliases("[x, x]", "[{}]"), "is too large: a spec has at most 50,000 values, where an alias counts as all"),
        (aliases("{x: 1}", "{{<<: [{}]}}"), "is too large: a spec has at most 50,000 values"),
        (f"a: [{'1,' * 60_000}]\n{ENOUGH}", "is too large: a spec has at most 50,000 values"),
        ("a: " + "[" * 60 + "]" * 60, "is nested too deeply: a spec has at most 50 levels of lists and mappings"),
        ("".join(" " * i + "k:\n" for i in range(60)), "is nested too deeply"),
        ("? " * 60 + "a", "is nested too deeply"),
        ("#" * (Allowance.CHARACTERS + 1), "is too long: a spec and what it extends have at most 1,048,576 characters"),
        ("λ" * (4 * Allowance.CHARACTERS), "is too long"),
        (ENOUGH + "seed: 0x" + "f" * 5000, "has too many digits for a number"),
        (ENOUGH + "seed: 0x" + "f" * 300, "must be a whole number of 64 bits, but it is a whole number of 1,200 bits"),
        (
            ENOUGH + "training: {batch_size: -" + "9" * 350 + "}",
            "must be a whole number of 64 bits, but it is a whole number of 1,163 bits",
        ),
        (ENOUGH + 'name: "\\ud800"', "holds half of a character"),
        (ENOUGH + "name: " + "x" * 5000, "name: must have at most 200 characters, but it has 5,000"),
    ],
)
def test_texts(tmp_path: Path, text: str, words: str) -> None:
    told = refused(tmp_path / "s.yaml", text)
    assert words in told
    assert len(told) < 1000


def test_what_people_write_is_far_below_the_limits(tmp_path: Path) -> None:
    depth = "[" * 45 + "]" * 45
    told = refused(tmp_path / "s.yaml", f"{ENOUGH}a: [{'1,' * 20_000}]\nb: {depth}\nc: '{'x' * 500_000}'\n")
    assert [line.partition(": ")[2].partition(":")[0] for line in told.split("\n")] == ["a", "b", "c"]


def test_diamonds_are_read_once(tmp_path: Path) -> None:
    for i in range(30):  # 2**30 readings, were each extended file read anew
        (tmp_path / f"{i}.yaml").write_text(f"extends: [{i + 1}.yaml, {i + 1}.yaml]\n{ENOUGH}")
    (tmp_path / "30.yaml").write_text(ENOUGH + "seed: 3\n")
    assert load_spec(tmp_path / "0.yaml").seed == 3


def test_chains_and_lists_of_extends_end(tmp_path: Path) -> None:
    for i in range(120):
        (tmp_path / f"{i}.yaml").write_text(f"extends: {i + 1}.yaml\n")
    (tmp_path / "120.yaml").write_text(ENOUGH)
    assert load_spec(tmp_path / "30.yaml").seed == 0
    words = "extends too much: specs are named under `extends` 100 times at most"
    assert refused(tmp_path / "0.yaml", "extends: 1.yaml\n").endswith(words)
    assert refused(tmp_path / "a.yaml", f"extends: [{'120.yaml, ' * 101}]").count(words) == 1
    (tmp_path / "large.yaml").write_text(ENOUGH + "".join(f"k{i}: 1\n" for i in range(10_000)))
    assert "is too large" in refused(tmp_path / "a.yaml", f"extends: [{'large.yaml, ' * 50}]")


def test_all_that_is_extended_shares_one_allowance(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.yaml").write_text("#" * (Allowance.CHARACTERS // 2))
    assert "2.yaml:1:1: is too long" in refused(tmp_path / "s.yaml", "extends: [0.yaml, 1.yaml, 2.yaml]\n" + ENOUGH)


def test_long_names_and_keys_are_not_echoed(tmp_path: Path) -> None:
    path, long = tmp_path / "s.yaml", "x" * 900_000
    for text in (
        f"problem: {long}\nsolver: palora\n",
        f"{ENOUGH}? {long}\n: 1\n",
        f"problem: digits\nsolver: {{name: palora, balancing: {long}}}\n",
        f"problem: !{long} digits\nsolver: palora\n",
        f"problem: *{long}\nsolver: palora\n",
        f"extends: {long}\n",
        f"{ENOUGH}training: {{precision: {long}}}\n",
    ):
        assert len(refused(path, text)) < 6000
    with pytest.raises(SpecError, match="is no path: one of its names has 300 bytes, and 255 are the most"):
        load_spec("a/" + "x" * 300)


def test_faults_beyond_what_one_reads_are_counted(tmp_path: Path) -> None:
    told = refused(tmp_path / "s.yaml", "problem: digits\nsolver: {name: palora, " + "k: 1, " * 2 + "}\n")
    assert "is given twice" in told
    many = "".join(f"k{i}: 1, " for i in range(5000))
    told = refused(tmp_path / "s.yaml", f"problem: digits\nsolver: {{name: palora, {many}}}\n")
    assert "solver: has 4,950 more unknown keys" in told
    assert len(told.split("\n")) == 51
    wrong = ", ".join(["x"] * 5000)
    told = refused(tmp_path / "s.yaml", f"{ENOUGH}evaluate: {{reference: [{wrong}]}}\n")
    assert told.endswith("… and 4,800 more lines")


def test_mappings_from_python() -> None:
    shared: Any = [1]
    for _ in range(40):
        shared = [shared, shared]
    with pytest.raises(SpecError, match="is too large"):
        load_spec({"problem": shared, "solver": "palora"})
    circle: dict[str, Any] = {"solver": "palora"}
    circle["problem"] = circle
    with pytest.raises(SpecError, match="is nested too deeply"):
        load_spec(circle)
    with pytest.raises(SpecError, match=r"^problem: no problem called 'xxx.*…'"):
        load_spec({"problem": "x" * 10_000_000, "solver": "palora"})


def test_overrides() -> None:
    spec = {"problem": "digits", "solver": "palora"}
    for text in (".".join("a" * 100) + "=1", "a=" + "[" * 60, "x" * 2_000_000 + "=1", "a=" + "x" * 2_000_000):
        with pytest.raises(SpecError) as error:
            load_spec(spec, [text])
        assert len(str(error.value)) < 1000


def test_benchmarks_have_a_number_of_runs() -> None:
    def told(**changes: Any) -> str:
        with pytest.raises(SpecError) as error:
            load_benchmark({"problems": ["digits"], "solvers": ["palora"], **changes})
        return str(error.value)

    assert "make 200,000 runs, and 100,000 are the most" in told(
        solvers=[{"solver": "palora", "label": f"s{i}"} for i in range(20)], seeds=list(range(10_000))
    )
    grid = {f"training.optimizer.{key}": [1, 2, 3, 4, 5, 6, 7, 8] for key in "abcdef"}
    assert "grid: has 262,144 combinations, and 1,000 are the most" in told(tune={"grid": grid})
    entries = [{"solver": "palora", "label": f"s{i}"} for i in range(300)]
    problems = [{"problem": "digits", "label": f"p{i}"} for i in range(300)]
    assert "more than 2,000 pairs" in told(problems=problems, solvers=entries)
    assert "seed 7 is given twice" in told(seeds=[*range(20_000), 7])
    labelled = [{"solver": "palora", "label": "x" * 5000}]
    assert "label: must have at most 100 characters" in told(solvers=labelled)


@pytest.mark.parametrize("text", ["a\0b", "x" * 300, "a/" * 3000])
def test_texts_that_can_be_no_path(tmp_path: Path, text: str) -> None:
    with pytest.raises(SpecError, match="is no path"):
        load_spec(text)
    with pytest.raises(SpecError, match=r"problem\.path: must be a path, but .* is none"):
        load_spec({"problem": {"name": "csv", "path": text, "targets": {"a": "regression"}}, "solver": "palora"})
