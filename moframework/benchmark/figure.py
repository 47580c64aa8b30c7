"""The picture of a benchmark on one problem: the fronts of all solvers, each seed and their mean."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from moframework.pareto.front import Front

__all__ = ["comparison_figure"]

Array = NDArray[np.float64]

_PANEL = (5.4, 5.0)  # inches
_MARKERS = "os^DvPX*p<>h"
_MOST_PANELS = 3


def comparison_figure(
    fronts: Mapping[str, Sequence[Front]], *, finite: Set[str] = frozenset(), title: str | None = None
) -> Figure:
    """The fronts of several solvers on one problem.

    Two tasks: losses, and beside them the metric that the tasks share. More: losses pair by pair, for the first three
    tasks. One: its loss. The mean over seeds is strong, each seed pale. (The mean is taken preference by preference: it
    is a picture of where a solver's points lie, and its hypervolume is not the mean hypervolume.) A true front is
    black. Axes show what is near the best, and say how many points lie farther
    out.

    Args:
        fronts: by solver, one for each seed; of the same tasks and split, and each solver's of the same preferences.
        finite: the solvers whose points are separate models: drawn without a line between them.
        title: stands before the split.

    Returns:
        a figure with a canvas of its own, for `savefig`.

    Raises:
        ValueError: there is no front, or the tasks differ.
    """
    every = [front for own in fronts.values() for front in own]
    if not every:
        raise ValueError("there is no front to draw")
    first = every[0]
    if any(front.tasks != first.tasks for front in every):
        raise ValueError("fronts of different tasks cannot be compared")
    pairs = _pairs(first)
    figure = Figure(figsize=(_PANEL[0] * len(pairs) + 2.2, _PANEL[1] + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    styles = _styles(list(fronts))
    for axes, names in zip(panels, pairs, strict=True):
        _panel(axes, fronts, names, finite, styles)
    handles = [
        Line2D([], [], **styles[name], markersize=7, linestyle="none" if name in finite else "-", label=name)
        for name in fronts
    ]
    if first.true_front is not None:
        handles.append(Line2D([], [], color="black", linewidth=1.2, label="true front"))
    figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=10)
    most = max(len(own) for own in fronts.values())
    seeds = f"mean of {most} seeds strong, each seed pale" if most > 1 else "one seed"
    figure.suptitle(" · ".join([*([] if title is None else [title]), f"{first.split} fronts", seeds]), fontsize=12)
    return figure


def _pairs(front: Front) -> list[tuple[str, str]]:
    """Columns of each panel, (x, y); for one task its loss stands on both axes' place: x is the preference."""
    tasks = front.tasks
    if len(tasks) == 1:
        return [(f"{tasks[0]}/preference", f"{tasks[0]}/loss")]
    pairs = [(f"{a}/loss", f"{b}/loss") for a, b in itertools.combinations(tasks[:_MOST_PANELS], 2)]
    if len(tasks) == 2:
        pairs += [(f"{tasks[0]}/{metric}", f"{tasks[1]}/{metric}") for metric in front.shared_metrics()[:1]]
    return pairs


def _styles(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    few = len(names) <= 10
    colors = colormaps["tab10"](np.arange(len(names))) if few else colormaps["turbo"](np.linspace(0, 0.95, len(names)))
    return {
        name: {"color": to_hex(color), "marker": marker}
        for name, color, marker in zip(names, colors, itertools.cycle(_MARKERS), strict=False)
    }


def _panel(
    axes: Axes,
    fronts: Mapping[str, Sequence[Front]],
    names: tuple[str, str],
    finite: Set[str],
    styles: Mapping[str, Mapping[str, Any]],
) -> None:
    means = {}
    two = len(next(iter(fronts.values()))[0].tasks) == 2
    for solver, own in fronts.items():
        order = np.argsort(own[0].preferences[:, 0], kind="stable")
        clouds = [_cloud(front, names)[order] for front in own]
        means[solver] = np.mean(clouds, axis=0)
        joined = two and solver not in finite
        for cloud in clouds if len(clouds) > 1 else ():
            axes.plot(
                cloud[:, 0], cloud[:, 1], color=styles[solver]["color"], marker=styles[solver]["marker"], alpha=0.3,
                linewidth=0.8, markersize=3, linestyle="-" if joined else "none", zorder=2,
            )  # fmt: skip
        axes.plot(
            means[solver][:, 0], means[solver][:, 1], **styles[solver], linewidth=1.6, markersize=6 if joined else 9,
            markeredgecolor="white", markeredgewidth=0.6, linestyle="-" if joined else "none", zorder=4,
        )  # fmt: skip
    front = next(iter(fronts.values()))[0]
    if front.true_front is not None and names[0].endswith("/loss"):
        columns = [front.tasks.index(name.rpartition("/")[0]) for name in names]
        best = front.true_front[:, columns]
        best = best[np.argsort(best[:, 0])]
        style: dict[str, Any] = {"linestyle": "-"} if two else {"linestyle": "none", "marker": ".", "markersize": 2}
        axes.plot(best[:, 0], best[:, 1], color="black", linewidth=1.2, zorder=3, **style)
    _frame(axes, front, names, list(means.values()))


def _frame(axes: Axes, front: Front, names: tuple[str, str], means: Sequence[Array]) -> None:
    """Axes with the direction of better, and limits that show what is near the best."""
    for column, name in enumerate(names):
        label, limits = (axes.set_xlabel, axes.set_xlim) if column == 0 else (axes.set_ylabel, axes.set_ylim)
        task, _, what = name.partition("/")
        if what == "preference":
            label(f"preference for {task}")
            continue
        upward = front.higher_is_better.get(name, False)
        arrow = ("→" if upward else "←") if column == 0 else ("↑" if upward else "↓")
        label(f"{what} of {task}  ({arrow} better)")
        low, high = _near([mean[:, column] * (-1 if upward else 1) for mean in means])
        if upward:
            low, high = -high, -low
        limits(low, high)
    _tell_hidden(axes, means)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)


def _near(columns: Sequence[Array]) -> tuple[float, float]:
    """A range, of values to be minimized, with every solver's best and most of most solvers' points, but not stretched
    by those that go far: a network that was never trained on one of the tasks would leave the rest no room."""
    known = [column[np.isfinite(column)] for column in columns if np.isfinite(column).any()]
    if not known:
        return 0.0, 1.0
    low = float(min(column.min() for column in known))
    ends = [np.quantile(column, 0.75) for column in known]
    typical = float(np.quantile(ends, 0.5, method="lower")) - low
    high = min(float(max(column.max() for column in known)), low + 2.2 * typical)
    high = max(high, float(max(column.min() for column in known)))
    span = max(high - low, 0.02 * max(abs(low), abs(high)), 1e-9)
    return low - 0.06 * span, high + 0.06 * span


def _tell_hidden(axes: Axes, means: Sequence[Array]) -> None:
    """How many points of the means the axes cut off, in the corner that fronts leave empty."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    points = np.concatenate(list(means))
    inside = (points[:, 0] >= left) & (points[:, 0] <= right) & (points[:, 1] >= bottom) & (points[:, 1] <= top)
    hidden = int((~inside).sum())
    if hidden:
        text = f"{hidden} point{'s' if hidden > 1 else ''} farther out"
        axes.set_title(text, loc="right", fontsize=9, color="0.4")


def _cloud(front: Front, names: tuple[str, str]) -> Array:
    columns = front.columns()
    return np.stack([columns[name] for name in names], axis=1)
