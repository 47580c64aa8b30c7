"""Pieces of HTML: well-formed, small, with every name escaped."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import attrs
import numpy as np
import pytest

from moframework.pareto import Front
from moframework.pareto.html import front_html, front_svg
from tests.pareto.fronts import example


def parsed(piece: str) -> ElementTree.Element:
    """The piece as a tree. Raises where it is not well-formed."""
    return ElementTree.fromstring(piece)


def texts(piece: str) -> list[str]:
    return [element.text or "" for element in parsed(piece).iter("text")]


@pytest.mark.parametrize(("m", "n"), [(2, None), (2, 2000), (3, None), (7, None), (40, None)])
def test_a_front_is_a_small_piece(m: int, n: int | None) -> None:
    piece = front_html(example(m, n))
    assert len(piece.encode()) < 30_000
    root = parsed(piece)
    (picture,) = root.iter("svg")
    assert picture.get("role") == "img"
    assert "losses of the test front" in (picture.get("aria-label") or "")
    marks = len(list(root.iter("circle" if m == 2 else "polyline")))
    assert 20 <= marks <= 100 or marks == len(example(m, n).losses)


def test_dominated_points_are_hollow_and_dominated_lines_dashed() -> None:
    front = example(2)
    filled = [circle.get("fill") != "none" for circle in parsed(front_svg(front)).iter("circle")]
    assert filled == front.nondominated().tolist()
    three = example(3)
    dashed = [line.get("stroke-dasharray") is not None for line in parsed(front_svg(three)).iter("polyline")]
    assert dashed == (~three.nondominated()).tolist()


def test_places_follow_losses() -> None:
    front = Front(
        tasks=("a", "b"), preferences=[[0, 1], [0.5, 0.5], [1, 0]], losses=[[3, 1], [2, 2], [1, 3]], split="x"
    )
    circles = list(parsed(front_svg(front)).iter("circle"))
    x = [float(circle.get("cx") or 0) for circle in circles]
    y = [float(circle.get("cy") or 0) for circle in circles]
    assert x[0] > x[1] > x[2]
    assert y[0] > y[1] > y[2], "down is less"
    assert x[0] - x[1] == pytest.approx(x[1] - x[2])
    assert [circle.findtext("title") for circle in circles][1] == "λ 0.5, 0.5: losses 2, 2"
    assert {"1", "3", "loss of a (← better)", "loss of b (← better)"} <= set(texts(front_svg(front)))


def test_noise_does_not_fill_a_range() -> None:
    front = Front(tasks=("a", "b"), preferences=[[0, 1], [1, 0]], losses=[[1.0, 1.0], [1.00001, 1.0]], split="x")
    x = [float(circle.get("cx") or 0) for circle in parsed(front_svg(front)).iter("circle")]
    assert abs(x[0] - x[1]) < 1
    assert texts(front_svg(front)).count("1") == 2, "equal ends of an axis are told once"


def test_hostile_names_are_escaped() -> None:
    hostile = '<img src=x onerror="alert(1)">&'
    front = attrs.evolve(
        example(2),
        tasks=(hostile, "right"),
        metrics={f"{hostile}/<b>": np.zeros(11)},
        higher_is_better={f"{hostile}/<b>": True},
        metric_reference={},
    )
    piece = front_html(front)
    assert "<img" not in piece
    assert "<b>" not in piece
    assert not re.search(r"onerror=\"", piece)
    parsed(piece)
    long = attrs.evolve(example(2), tasks=("a" * 10_000, "right"), metrics={}, higher_is_better={}, metric_reference={})
    assert len(front_html(long)) < 30_000


def test_text_has_the_color_of_its_surroundings() -> None:
    piece = front_html(example(2))
    assert 'fill="currentColor"' in piece
    assert not re.search(r"#000|#fff|black|white", piece)


@pytest.mark.parametrize("losses", [[[0.3]], [[0.3], [0.4]], [[0.0]]])
def test_one_task(losses: list[list[float]]) -> None:
    front = Front(tasks=("a",), preferences=[[1.0]] * len(losses), losses=losses, split="val")
    assert len(list(parsed(front_html(front)).iter("circle"))) == len(losses)
