"""Δm against numbers worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from moframework.pareto import Front, delta_m


def test_by_hand() -> None:
    # accuracy .8 → .6 is 25 % worse, error 2 → 1 is 50 % better: together 12.5 % better
    assert delta_m([[0.6, 1.0]], [0.8, 2.0], [True, False]).tolist() == pytest.approx([-12.5])
    # accuracy .8 → 1 is 25 % better, error 2 → 3 is 50 % worse
    assert delta_m([[1.0, 3.0]], [0.8, 2.0], [True, False]).tolist() == pytest.approx([12.5])
    assert delta_m([[0.8, 2.0]], [0.8, 2.0], [True, False]).tolist() == [0]


def test_the_published_row_of_nash_mtl_on_cityscapes() -> None:
    """Single-task learning 74.01, 93.16, .0125, 27.77; Nash-MTL 75.41, 93.66, .0129, 35.02 and Δm 6.82 (arXiv
    2202.01017, Table 2). Rounded to .0001, the depth errors alone leave room for 0.4 percent."""
    found = delta_m([[75.41, 93.66, 0.0129, 35.02]], [74.01, 93.16, 0.0125, 27.77], [True, True, False, False])
    assert float(found[0]) == pytest.approx(6.82, abs=0.4)


def test_a_negative_reference_keeps_the_sign() -> None:
    assert delta_m([[-1.0]], [-2.0], [True]).tolist() == [-50]
    assert delta_m([[-1.0]], [-2.0], [False]).tolist() == [50]


def test_what_is_not_defined() -> None:
    assert np.isnan(delta_m([[1.0, 1.0]], [0.0, 1.0], [True, True])).all()
    assert np.isnan(delta_m([[1.0], [math.nan]], [1.0], [True])).tolist() == [False, True]
    assert np.isnan(delta_m([[]], [], [])).all()
    assert delta_m(np.empty((0, 2)), [1.0, 2.0], [True, True]).shape == (0,)
    for values, single, ups in (([1.0], [1.0], [True]), ([[1.0]], [1.0, 2.0], [True]), ([[1.0]], [1.0], [True, True])):
        with pytest.raises(ValueError, match=r"values \(n, k\), single \(k,\) and k directions"):
            delta_m(values, single, ups)


def front(losses: list[list[float]], accuracy: list[float], weights: list[list[float]], **more: object) -> Front:
    """Task a has an accuracy, task b its loss alone."""
    return Front(
        tasks=("a", "b"), preferences=weights, losses=losses, metrics={"a/accuracy": accuracy},
        higher_is_better={"a/accuracy": True}, split="test", **more,
    )  # fmt: skip  # type: ignore[arg-type]


SINGLE = front([[0.1, 9.0], [9.0, 0.5]], [0.8, 0.1], [[1, 0], [0, 1]])


def test_a_front_against_single_task_networks() -> None:
    """Of the network for a only a counts, of that for b only b: .8 accuracy and .5 loss."""
    mine = front([[0.3, 0.5], [0.2, 1.0], [0.1, 0.25]], [0.8, 0.8, 0.4], [[0.5, 0.5], [1, 0], [0, 1]])
    # the loss of a does not count, since it has a metric
    assert mine.delta_m(SINGLE).tolist() == pytest.approx([0, 50, 0])
    assert SINGLE.delta_m(SINGLE)[0] == pytest.approx(50 * (9.0 - 0.5) / 0.5)


def test_fronts_that_do_not_go_together() -> None:
    other = Front(tasks=("a", "c"), preferences=[[1, 0]], losses=[[1, 1]], metrics={}, split="test")
    with pytest.raises(ValueError, match="one has the tasks a, b on test, the other a, c on test"):
        SINGLE.delta_m(other)
    bare = Front(tasks=("a", "b"), preferences=[[1, 0], [0, 1]], losses=[[1, 1], [1, 1]], metrics={}, split="test")
    with pytest.raises(ValueError, match="one has the metrics a/accuracy, the other none"):
        SINGLE.delta_m(bare)
    middle = front([[1, 1], [1, 1]], [0.5, 0.5], [[1, 0], [0.5, 0.5]])
    with pytest.raises(ValueError, match="no point with the whole weight on 'b'"):
        SINGLE.delta_m(middle)
