"""Pictures of an analysis: ranks and profiles of a measure, attainment surfaces and courses of a problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from moframework.benchmark.figure import near_best, styles
from moframework.benchmark.statistics.found import Attainment, Compared, Course, Profile, Ranking, Surfaces, Training
from moframework.pareto.attainment import attainment_difference
from moframework.pareto.plots import empty_figure, fit_title, tidy

__all__ = ["attainment_figure", "course_figure", "ranking_figure"]

Array = NDArray[np.float64]
Looks = Mapping[str, Mapping[str, Any]]

_PANEL = (5.2, 4.4)  # inches
_FAR = 4.0  # a factor of the best beyond which a profile has a logarithmic axis
_ROW = 0.32  # inches, of a contender in a diagram of ranks


def ranking_figure(compared: Compared, looks: Sequence[str]) -> Figure | None:
    """The critical-difference diagram of a measure, and its performance profile beside it.

    Args:
        compared: what was found of it.
        looks: all contenders of the benchmark, in the order that gives them their colors.

    Returns:
        a figure with a canvas of its own; None where nothing was ranked.
    """
    if compared.ranking is None:
        return None
    figure = empty_figure()
    panels = 1 if compared.profile is None else 2
    tall = max(2.2, _ROW * len(compared.ranking.solvers) + 1.5)
    figure.set_size_inches(_PANEL[0] * panels + 0.8, max(tall, _PANEL[1] if panels > 1 else tall))
    axes = figure.subplots(1, panels, squeeze=False)[0]
    own = styles(list(looks))
    _ranks(axes[0], compared.ranking, own)
    if compared.profile is not None:
        _profile(axes[1], compared.profile, own)
        axes[1].set_title(f"performance profile of {compared.column.title}", loc="left", fontsize=10)
    figure.suptitle(f"{compared.column.title} over {compared.ranking.problems} problems", fontsize=12)
    fit_title(figure)
    return figure


def _ranks(axes: Axes, ranking: Ranking, looks: Looks) -> None:
    """A contender a line, best on top, at its mean rank; bars join those that the test does not tell apart."""
    order = np.argsort(ranking.ranks, kind="stable")
    for place, index in enumerate(order):
        solver = ranking.solvers[index]
        axes.plot([ranking.ranks[index]], [place], **looks[solver], markersize=8, linestyle="none", zorder=3)
        axes.axhline(place, color="0.92", linewidth=0.8, zorder=0)
    rows = {ranking.solvers[index]: place for place, index in enumerate(order)}
    k = len(order)
    for shift, group in enumerate(ranking.groups):
        places = [rows[solver] for solver in group]
        x = k + 0.25 + 0.12 * shift
        axes.plot([x, x], [min(places) - 0.2, max(places) + 0.2], color="0.25", linewidth=3, solid_capstyle="butt")
    axes.set_yticks(range(k), [ranking.solvers[index] for index in order])
    axes.set_xlim(0.8, k + 0.3 + 0.12 * max(len(ranking.groups), 1))
    axes.set_ylim(k - 0.4, -0.9)
    axes.set_xlabel("mean rank  (← better)")
    if ranking.critical_difference is not None:
        axes.plot([1, 1 + ranking.critical_difference], [-0.6, -0.6], color="black", linewidth=1.4, marker="|")
        text = f"critical difference {ranking.critical_difference:.2f}; bars join what it does not tell apart"
        axes.set_title(text, loc="left", fontsize=10)
    tidy(axes, grid=False)


def _profile(axes: Axes, profile: Profile, looks: Looks) -> None:
    """The share of problems and seeds (up) within a factor of the best (right)."""
    known = profile.ratios[np.isfinite(profile.ratios)]
    farthest = max(1.02, float(np.quantile(known, 0.95)) * 1.05) if len(known) else 1.02
    for column, solver in enumerate(profile.solvers):
        own = np.sort(profile.ratios[:, column])
        x = np.concatenate([[1.0], own[np.isfinite(own)], [max(farthest, float(known.max(initial=1.0)))]])
        share = np.concatenate([[0.0], np.arange(1, len(x) - 1), [len(x) - 2]]) / len(profile.ratios)
        axes.step(x, share, where="post", color=looks[solver]["color"], linewidth=1.6, label=solver)
    if farthest > _FAR:
        axes.set_xscale("log")
    axes.set_xlim(1.0, farthest)
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("factor of the best value")
    axes.set_ylabel("share of problems and seeds within it")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    tidy(axes)


def attainment_figure(attainment: Attainment, looks: Sequence[str]) -> Figure | None:
    """Median attainment surfaces of two tasks, with bands from what one seed attains to what all do; and beside them
    where the two best contenders differ, if as many of their seeds are finished.

    Args:
        attainment: what was found on a problem.
        looks: as of `ranking_figure`.

    Returns:
        a figure with a canvas of its own; None where there are not two tasks, or no surfaces.
    """
    if len(attainment.tasks) != 2 or not attainment.rows:
        return None
    best = _best_two(attainment)
    figure = empty_figure()
    panels = 1 if best is None else 2
    figure.set_size_inches(_PANEL[0] * panels + 2.2, _PANEL[1] + 0.4)
    axes = figure.subplots(1, panels, squeeze=False, sharex=True, sharey=True)[0]
    own = styles(list(looks))
    medians = [row.corners[len(row.levels) // 2] for row in attainment.rows]
    limits = [near_best([corners[:, column] for corners in medians]) for column in (0, 1)]
    axes[0].set_xlim(limits[0])
    axes[0].set_ylim(limits[1])
    for row, median in zip(attainment.rows, medians, strict=True):
        color = own[row.solver]["color"]
        x = np.unique(np.concatenate([corners[:, 0] for corners in row.corners] + [limits[0]]))
        low, high = (np.minimum(_height(corners, x), 2 * limits[1][1]) for corners in (row.corners[-1], row.corners[0]))
        axes[0].fill_between(x, low, high, step="post", color=color, alpha=0.18, linewidth=0)
        axes[0].step(x, np.minimum(_height(median, x), 2 * limits[1][1]), where="post", color=color, linewidth=1.5)
    if best is not None:
        _differences(axes[1], best, own, limits)
    for panel in axes:
        panel.set_xlabel(f"loss of {attainment.tasks[0]}  (← better)")
        tidy(panel)
    axes[0].set_ylabel(f"loss of {attainment.tasks[1]}  (↓ better)")
    handles = [Line2D([], [], color=own[row.solver]["color"], linewidth=1.6, label=row.solver) for row in
               attainment.rows]  # fmt: skip
    figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=10)
    most = max(len(row.fronts) for row in attainment.rows)
    figure.suptitle(f"{attainment.problem} · what half of {most} seeds attain, from one to all in pale", fontsize=12)
    fit_title(figure)
    return figure


def _height(corners: Array, x: Array) -> Array:
    """The second loss from which on a surface attains each first loss; inf before its first corner."""
    place = np.searchsorted(corners[:, 0], x, side="right") - 1
    lowest = np.minimum.accumulate(corners[:, 1])
    return np.where(place < 0, np.inf, lowest[place.clip(min=0)])


def _best_two(attainment: Attainment) -> tuple[Surfaces, Surfaces] | None:
    """The contenders whose median surfaces have the largest hypervolumes, of as many seeds."""
    volumes = [row.hypervolumes[len(row.levels) // 2] for row in attainment.rows]
    if len(volumes) < 2 or None in volumes:
        return None
    first, second, *_ = sorted(range(len(volumes)), key=lambda place: -(volumes[place] or 0.0))
    two = attainment.rows[first], attainment.rows[second]
    return two if len(two[0].fronts) == len(two[1].fronts) else None


def _differences(axes: Axes, best: tuple[Surfaces, Surfaces], looks: Looks, limits: Sequence[tuple[float, float]],
                 ) -> None:  # fmt: skip
    first, second = best
    n = len(first.fronts)
    ends = [limit[1] + (limit[1] - limit[0]) for limit in limits]
    for left, bottom, right, top, more in attainment_difference(first.fronts, second.fronts).tolist():
        solver = first.solver if more > 0 else second.solver
        axes.add_patch(Rectangle(
            (left, bottom), min(right, ends[0]) - left, min(top, ends[1]) - bottom,
            color=looks[solver]["color"], alpha=0.75 * abs(more) / n, linewidth=0,
        ))  # fmt: skip
    text = f"attained by more seeds of {first.solver} or of {second.solver}"
    axes.set_title(text, loc="left", fontsize=9)


def course_figure(course: Course, looks: Sequence[str]) -> Figure | None:
    """Validation hypervolume over processor seconds and over seconds of training: each seed pale, and strong the one
    whose last value is the median.

    Args:
        course: what was found on a problem.
        looks: as of `ranking_figure`.

    Returns:
        a figure with a canvas of its own; None where no course is known.
    """
    if not course.trainings:
        return None
    figure = empty_figure()
    figure.set_size_inches(_PANEL[0] * 2 + 2.2, _PANEL[1] + 0.4)
    axes = figure.subplots(1, 2, sharey=True)
    own = styles(list(looks))
    for solver, trainings in course.trainings:
        strong = sorted(trainings, key=lambda training: float(training.hypervolumes[-1]))[(len(trainings) - 1) // 2]
        for training in trainings:
            for panel, seconds in zip(axes, _times(training), strict=True):
                style = {"linewidth": 1.6, "zorder": 3} if training is strong else {"linewidth": 0.8, "alpha": 0.3}
                panel.plot(seconds, training.hypervolumes, color=own[solver]["color"], **style)
    for panel, what in zip(axes, ("processor seconds of training", "seconds of training"), strict=True):
        panel.set_xlabel(what)
        if course.target is not None:
            panel.axhline(course.target, color="0.5", linewidth=0.8, linestyle=":")
        tidy(panel)
    axes[0].set_ylabel("validation hypervolume of losses  (↑ better)")
    handles = [Line2D([], [], color=own[solver]["color"], linewidth=1.6, label=solver) for solver, _ in
               course.trainings]  # fmt: skip
    figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=10)
    figure.suptitle(f"{course.problem} · hypervolume over time, a typical seed strong", fontsize=12)
    fit_title(figure)
    return figure


def _times(training: Training) -> tuple[Array, Array]:
    return training.processor_seconds, training.seconds
