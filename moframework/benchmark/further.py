"""Columns that a table has where the spec names them: indicators of how the points of a front lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from attrs import frozen

from moframework.benchmark.column import Column
from moframework.pareto import nondominated
from moframework.pareto.front import Front

__all__ = ["FURTHER", "OF_PREFERENCES", "FurtherName", "Scale", "common_scale", "further", "further_column"]

Scale = tuple[tuple[float, ...], tuple[float, ...]]
"""Ideal and nadir of a problem, m numbers each."""

FurtherName = Literal[
    "spacing", "sparsity", "span", "spread", "gap", "cross_angle", "angle", "nonuniformity", "r2", "igd",
    "normalized/spacing", "normalized/sparsity", "normalized/span", "normalized/spread", "normalized/gap",
    "normalized/r2", "normalized/igd", "normalized/igd_plus",
]  # fmt: skip
"""What the option `columns` of a benchmark may name."""

NORMALIZED = "normalized/"
OF_PREFERENCES = frozenset({"controllability", "cross_angle", "angle", "nonuniformity"})
"""Measures that need to know the preference of each point."""


@frozen
class _Indicator:
    """An indicator: what it is called, what it says, whether larger is better, and how it is computed of a front and
    the ideal point of its problem. None where it is not known."""

    title: str
    help: str
    upward: bool
    of: Callable[[Front, Sequence[float]], float | None]


FURTHER: Mapping[str, _Indicator] = {
    "spacing": _Indicator(
        "spacing", "spread of the distances to the nearest neighbor; 0 is even (Schott)", False,
        lambda front, _: front.spacing(),
    ),
    "sparsity": _Indicator(
        "sparsity", "mean squared step along the front, summed over tasks; small is dense", False,
        lambda front, _: front.sparsity(),
    ),
    "span": _Indicator(
        "span", "the narrowest of the tasks' ranges along the front; large is wide in every task", True,
        lambda front, _: front.span(),
    ),
    "spread": _Indicator(
        "spread", "diagonal of the box around the front; large is wide", True, lambda front, _: front.spread(),
    ),
    "gap": _Indicator(
        "gap", "largest distance between neighbors along the front", False, lambda front, _: front.gap(),
    ),
    "cross_angle": _Indicator(
        "cross angle, °", "mean angle between losses and the ray λ of their preference", False,
        lambda front, _: front.cross_angle(),
    ),
    "angle": _Indicator(
        "angle to 1/λ, °", "mean angle between losses and the ray 1/λ, on which all λ_t L_t are equal", False,
        lambda front, _: front.cross_angle("inverse"),
    ),
    "nonuniformity": _Indicator(
        "non-uniformity", "how far weighted losses are from being equal, mean over preferences; 0 is ideal", False,
        lambda front, _: front.nonuniformity(),
    ),
    "r2": _Indicator(
        "R2", "mean over weights of the best weighted Tchebycheff value from the ideal point; small is good", False,
        lambda front, ideal: front.r2(ideal),
    ),
    "igd": _Indicator("IGD", "mean distance of the true front from the points; 0 is ideal", False,
                      lambda front, _: front.igd()),
    "igd_plus": _Indicator("IGD+", "mean shortfall from the true front; 0 is ideal", False,
                           lambda front, _: front.igd_plus()),
}  # fmt: skip


def common_scale(fronts: Sequence[Front]) -> Scale | None:
    """The range in which the fronts of one problem are compared: the ideal is the best of each task on the true front
    and on all fronts, the nadir the worst of each task on the true front, else on the best front that all of them make
    together. None without a front.

    >>> one = Front(tasks=("a", "b"), preferences=[[1, 0], [0, 1]], losses=[[1, 5], [3, 2]], split="test")
    >>> common_scale([one])
    ((1.0, 2.0), (3.0, 5.0))
    """
    if not fronts:
        return None
    points = np.concatenate([front.losses for front in fronts])
    known = fronts[0].true_front
    best = points[nondominated(points)] if known is None else known
    ideal = np.minimum(points.min(axis=0), best.min(axis=0))
    return tuple(ideal.tolist()), tuple(best.max(axis=0).tolist())


def further(front: Front, names: Sequence[str], scale: Scale | None) -> dict[str, float | None]:
    """Indicators of a front by name; None where one is not defined.

    Args:
        front: what is measured.
        names: of `FurtherName`.
        scale: that of all fronts of the problem; None only where there is no front.
    """
    found: dict[str, float | None] = {}
    for name in names:
        value: float | None = None
        if scale is not None:
            ideal, nadir = scale
            measured, origin = front, ideal
            if name.startswith(NORMALIZED):
                measured, origin = front.normalized(ideal, nadir), tuple(0.0 for _ in ideal)
            value = FURTHER[name.removeprefix(NORMALIZED)].of(measured, origin)
        found[name] = None if value is None or not math.isfinite(value) else value
    return found


def further_column(name: str) -> Column:
    """The column of an indicator."""
    indicator = FURTHER[name.removeprefix(NORMALIZED)]
    if not name.startswith(NORMALIZED):
        return Column(key=name, title=indicator.title, help=indicator.help, upward=indicator.upward)
    return Column(
        key=name, title=f"{indicator.title}, normalized", upward=indicator.upward,
        help=f"{indicator.help}; losses in units of the problem's range",
    )  # fmt: skip
