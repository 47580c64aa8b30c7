"""The picture of a benchmark on one problem: the fronts of all solvers, each seed, one of them strong."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from moframework.pareto.front import Front
from moframework.pareto.plots import fit_title

__all__ = ["comparison_figure", "near_best", "styles", "typical_seed"]

Array = NDArray[np.float64]
Fronts = Mapping[str, Sequence[Front]]
Style = Mapping[str, Any]

_PANEL = (5.4, 5.0)  # inches
_SMALL = (3.1, 3.0)  # inches, of one panel among many
_MOST_COLUMNS = 5
_MARKERS = "os^DvPX*p<>h"
_MOST_MARKED = 15  # points of a line that all get a marker; of more, about ten do


def comparison_figure(fronts: Fronts, *, finite: Set[str] = frozenset(), title: str | None = None) -> Figure:
    """The fronts of several solvers on one problem.

    Two tasks: all solvers in one panel of losses, and one of the metric that the tasks share, if any; one seed is
    strong, the others pale. More: a panel for each solver, of the first two losses, colored by the third, of one seed.
    One: its loss. The seed shown is the one nearest to the mean over seeds, preference by preference: a mean itself may
    lie where no model is. A true front is dashed, or gray points. Axes show what is near
    the best, and say how many points lie farther out.

    Args:
        fronts: by solver, one for each seed; of the same tasks and split, and each solver's of the same preferences.
            One without a metric is left out of its panel.
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
    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    most = max(len(own) for own in fronts.values())
    seeds = f"typical of {most} seeds" if most > 1 else "one seed"
    if len(first.tasks) > 2:
        _side_by_side(figure, fronts)
    else:
        _together(figure, fronts, finite)
        seeds += " strong, the others pale" if most > 1 else ""
    figure.suptitle(" · ".join([*([] if title is None else [title]), f"{first.split} fronts", seeds]), fontsize=12)
    fit_title(figure)
    return figure


# --- one or two tasks: all solvers in one panel -----------------------------------------------------------------------


def _together(figure: Figure, fronts: Fronts, finite: Set[str]) -> None:
    first = _first(fronts)
    a, b = first.tasks[0], first.tasks[-1]
    pairs = [(f"{a}/preference" if len(first.tasks) == 1 else f"{a}/loss", f"{b}/loss")]
    if len(first.tasks) == 2:
        pairs += [(f"{a}/{metric}", f"{b}/{metric}") for metric in first.shared_metrics()[:1]]
    figure.set_size_inches(_PANEL[0] * len(pairs) + 2.2, _PANEL[1] + 0.4)
    looks = styles(list(fronts))
    for axes, names in zip(figure.subplots(1, len(pairs), squeeze=False)[0], pairs, strict=True):
        means = []
        for place, (solver, own) in enumerate(fronts.items()):
            if any(name not in front.columns() for front in own for name in names):
                continue  # imported results may lack a metric
            clouds = _clouds(own, names)
            means.append(typical(clouds))
            _draw(axes, clouds, looks[solver], place, joined=solver not in finite)
        if first.true_front is not None and len(first.tasks) == 2 and names == pairs[0]:
            best = first.true_front[np.argsort(first.true_front[:, 0])]
            axes.plot(best[:, 0], best[:, 1], color="black", linewidth=1.0, linestyle="--", zorder=5)
        _frame(axes, first, names, means)
        _tell_hidden(axes, means)
    handles = [
        Line2D([], [], **looks[name], markersize=7, linestyle="none" if name in finite else "-", label=name)
        for name in fronts
    ]
    if first.true_front is not None:
        handles.append(Line2D([], [], color="black", linewidth=1.0, linestyle="--", label="true front"))
    figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=10)


def typical(clouds: Sequence[Array]) -> Array:
    """The seed whose points are nearest to the mean over seeds, (n, k) of several (n, k): a front that a model has,
    which the mean of several need not be. Fronts of searches have as many points as were found: where numbers differ,
    they are compared at as many places along each as the smallest has."""
    return clouds[_nearest(clouds)]


def typical_seed(fronts: Sequence[Front]) -> int:
    """The position of the front whose losses are, as of `typical`, nearest to the mean over seeds."""
    return _nearest(_clouds(fronts, [f"{task}/loss" for task in fronts[0].tasks]))


def _nearest(clouds: Sequence[Array]) -> int:
    count = min(len(cloud) for cloud in clouds)
    even = [cloud[np.linspace(0, len(cloud) - 1, count).round().astype(int)] for cloud in clouds]
    center = np.mean(even, axis=0)
    return min(range(len(clouds)), key=lambda i: float(np.square(even[i] - center).sum()))


def _draw(axes: Axes, clouds: Sequence[Array], style: Style, place: int, *, joined: bool) -> None:
    """One solver: pale seeds and a strong one. `place` among the solvers shifts the markers of long lines, so that
    lines that coincide can be told apart."""
    n = max(len(cloud) for cloud in clouds)
    step = math.ceil(n / 10) if joined and n > _MOST_MARKED else 1
    marked = (place % step, step)
    for cloud in clouds if len(clouds) > 1 else ():
        axes.plot(
            cloud[:, 0], cloud[:, 1], **style, alpha=0.3, linewidth=0.8, markersize=3, markevery=marked,
            linestyle="-" if joined else "none", zorder=2,
        )  # fmt: skip
    chosen = typical(clouds)
    axes.plot(
        chosen[:, 0], chosen[:, 1], **style, linewidth=1.6, markersize=6 if joined else 9, markevery=marked,
        markeredgecolor="white", markeredgewidth=0.6, linestyle="-" if joined else "none", zorder=4,
    )  # fmt: skip


def styles(names: Sequence[str]) -> dict[str, Style]:
    """A color and a marker for each solver, the same in all pictures of a benchmark."""
    few = len(names) <= 10
    colors = colormaps["tab10"](np.arange(len(names))) if few else colormaps["turbo"](np.linspace(0, 0.95, len(names)))
    return {
        name: {"color": to_hex(color), "marker": marker}
        for name, color, marker in zip(names, colors, itertools.cycle(_MARKERS), strict=False)
    }


# --- more tasks: a panel for each solver ------------------------------------------------------------------------------


def _side_by_side(figure: Figure, fronts: Fronts) -> None:
    first = _first(fronts)
    shown = {solver: own for solver, own in fronts.items() if own}
    rows = math.ceil(len(shown) / _MOST_COLUMNS)
    columns = math.ceil(len(shown) / rows)
    figure.set_size_inches(_SMALL[0] * columns + 1.2, _SMALL[1] * rows + 0.7)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    names = [f"{task}/loss" for task in first.tasks[:3]]
    means = {solver: typical(_clouds(own, names)) for solver, own in shown.items()}
    scale = Normalize(*near_best([mean[:, 2] for mean in means.values()]))
    for axes, (solver, mean) in zip(panels.flat, means.items(), strict=False):
        if first.true_front is not None:
            axes.plot(first.true_front[:, 0], first.true_front[:, 1], ".", color="0.8", markersize=3, zorder=1)
        axes.scatter(
            mean[:, 0], mean[:, 1], c=mean[:, 2], norm=scale, cmap="viridis", s=float(np.clip(900 / len(mean), 8, 40)),
            zorder=3,
        )  # fmt: skip
        _frame(axes, first, (names[0], names[1]), [other[:, :2] for other in means.values()])
        _tell_hidden(axes, [mean[:, :2]])
        axes.set_title(solver, loc="left", fontsize=11)
        axes.label_outer()
    for axes in panels.flat[len(means) :]:
        axes.set_axis_off()
    bar = figure.colorbar(ScalarMappable(scale, "viridis"), ax=panels.ravel().tolist(), pad=0.01)
    more = f"; {len(first.tasks) - 3} more not shown" if len(first.tasks) > 3 else ""
    bar.set_label(f"loss of {first.tasks[2]}{more}")


# --- common -----------------------------------------------------------------------------------------------------------


def _first(fronts: Fronts) -> Front:
    return next(front for own in fronts.values() for front in own)


def _clouds(own: Sequence[Front], names: Sequence[str]) -> list[Array]:
    """Columns of each seed's front, in the order of the preference for the first task."""
    if not own:
        return [np.zeros((0, len(names)))]
    orders = [np.argsort(front.preferences[:, 0], kind="stable") for front in own]
    columns = [np.stack([front.columns()[name] for name in names], axis=1) for front in own]
    return [cloud[order] for cloud, order in zip(columns, orders, strict=True)]


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
        low, high = near_best([mean[:, column] * (-1 if upward else 1) for mean in means])
        if upward:
            low, high = -high, -low
        limits(low, high)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)


def near_best(columns: Sequence[Array]) -> tuple[float, float]:
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
    """How many points of the means the axes cut off."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    points = np.concatenate(list(means))
    inside = (points[:, 0] >= left) & (points[:, 0] <= right) & (points[:, 1] >= bottom) & (points[:, 1] <= top)
    hidden = int((~inside).sum())
    if hidden:
        text = f"{hidden} point{'s' if hidden > 1 else ''} farther out"
        axes.set_title(text, loc="right", fontsize=9, color="0.4")
