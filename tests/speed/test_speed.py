"""The harness itself: turns, ratios, limits, comparison. No time is asserted here."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from moframework.problem import Problem
from tests.speed.__main__ import main
from tests.speed.cases import Contender, cases
from tests.speed.contenders import divided_step, our_step, plain_step
from tests.speed.nets import NETS, planned
from tests.speed.report import Line, load, save, table, worse
from tests.speed.synthetic import Attributes, Torques
from tests.speed.timing import alternate


def line(ratio: float, limit: float | None = None, contender: str = "ours") -> Line:
    return Line(
        case="step/x", contender=contender, against="plain", amount=0.5, unit="seconds", ratio=ratio, low=ratio,
        high=ratio, limit=limit,
    )  # fmt: skip


def test_contenders_take_turns() -> None:
    calls: list[str] = []

    def named(name: str, seconds: float) -> None:
        calls.append(name)
        time.sleep(seconds)

    contenders = {"first": lambda: named("first", 0.002), "second": lambda: named("second", 0.006)}
    figures = alternate(contenders, rounds=4, least_seconds=0.002, clock="wall")
    assert figures["first"].ratio == 1
    assert figures["second"].low <= figures["second"].ratio <= figures["second"].high
    assert figures["second"].ratio > 1.5
    order = [name for name, before in zip(calls, [None, *calls], strict=False) if name != before]
    assert order[-4:] in (["first", "second", "first", "second"], ["second", "first", "second", "first"])


def test_limits_and_growth_are_told(tmp_path: Path) -> None:
    before = [line(1.0), line(2.0, contender="other")]
    now = [line(1.2, limit=1.1), line(2.1, limit=3.0, contender="other"), line(9.0, contender="new")]
    save(before, tmp_path / "before.json", {"rounds": 3})
    assert load(tmp_path / "before.json") == before
    assert worse(now, load(tmp_path / "before.json")) == ["step/x, ours: 1.000 → 1.200 (+20%)"]
    text = table(now)
    assert "| 1.10 | MISSED |" in text
    assert "| 3.00 | met |" in text


def test_cases_have_distinct_names_and_unknown_ones_are_refused() -> None:
    names = [case.name for case in cases()]
    assert len(set(names)) == len(names) > 20
    result = CliRunner().invoke(main, ["stp"])
    assert result.exit_code == 2
    assert "step/lenet" in result.output


@pytest.mark.parametrize(
    "problem",
    [
        Attributes(backbone_=NETS["mlp"].build().network, shape=(21,), samples=8, m=8),
        Torques(backbone_=NETS["mlp"].build().network, shape=(21,), samples=8, m=2),
    ],
    ids=["one output", "one each"],
)
def test_contenders_step(problem: Problem) -> None:
    ready = planned(problem, {"name": "palora", "rank": 1}, {"batch_size": 8})
    before = [p.clone() for p in ready.model.parameters()]
    our_step(ready)()
    assert any(not (p == old).all() for p, old in zip(ready.model.parameters(), before, strict=True))
    if isinstance(problem, Torques):
        for step in (plain_step(ready), divided_step(ready, 2)):
            step()


def test_a_contender_may_stand_for_several_preferences() -> None:
    assert Contender(lambda: None, 1.05, per=4).per == 4
