"""Pictures of fronts, as matplotlib figures. What must not live here: files, TensorBoard, indicators."""

from __future__ import annotations

import itertools
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from attrs import frozen
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PathCollection
from matplotlib.colors import ListedColormap, Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from moframework.errors import nearest
from moframework.pareto import nondominated
from moframework.pareto.front import Front

__all__ = [
    "LEAST_SPAN",
    "Panel",
    "axis_range",
    "column_groups",
    "empty_figure",
    "equal_rows",
    "fit_title",
    "front_figure",
    "label_axes",
    "lay_out",
    "mark_equal",
    "name_axes",
    "pixels",
    "resize",
    "scaled",
    "separate_labels",
    "tidy",
]

Array = NDArray[np.float64]
AxisName = Literal["x", "y"]

_AXES: tuple[AxisName, ...] = ("x", "y")

LEAST_SPAN = 0.04
"""An axis spans at least this part of its largest number. So a front that changes by less than 1 %, which counts as
flat, takes a quarter of its axis at most, and noise is not magnified into a front."""

_COLORS = "viridis"
_PRIMARIES = np.array([[0.86, 0.22, 0.18], [0.13, 0.58, 0.29], [0.16, 0.38, 0.82]])  # of three tasks, mixed by weight
_PANEL = (4.6, 4.2)  # inches
_SMALL = (3.5, 3.5)  # inches, of one panel among more than two in a row
_STRIP = 4.0  # inches: the height of parallel coordinates
_MOST_NAMED_COLORS = 10
_LONGEST_NAME = 24  # letters at a tick
_SMALLEST_FONT = 5.0  # points
_SMALLEST_TITLE = 7.0  # points
_TALLEST_TITLE = 0.25  # of the figure; a longer title gets smaller letters


def front_figure(
    front: Front,
    *,
    previous: Sequence[Front] = (),
    title: str | None = None,
    titled: bool = True,
    columns: Sequence[Sequence[str]] | None = None,
    size: tuple[float, float] | None = None,
) -> Figure:
    """A picture of a front, with its hypervolume in the title.

    The losses, and beside them the metric that the tasks share (else the first metric of each). Two tasks: one against
    the other, colored by the weight of the first task. Three: pair by pair, colored by a mix of one color a task. More:
    parallel coordinates, each axis with its own range, colored by the task with the largest weight. One: its loss.
    Points that are dominated in the losses are hollow, or dashed lines; where points lie on one another, a ring says
    how many. The reference point is shown where it is near. Axes span at least `LEAST_SPAN` of their largest number.

    Args:
        front: what to show.
        previous: earlier fronts of the same tasks, oldest first, drawn gray behind: light are old.
        title: stands before the split and the hypervolumes; a long one is wrapped.
        titled: whether there is a title at all.
        columns: what to show instead, by names of `Front.columns`: of each group one column, two against each other,
            three in pairs, or more as parallel coordinates.
        size: width and height in inches, instead of what fits.

    Returns:
        a figure with a canvas of its own, for `savefig` or a canvas; pyplot knows nothing of it.

    Raises:
        ValueError: an earlier front has other tasks, there is no such column, or panels do not fit into the size.
    """
    for earlier in previous:
        if earlier.tasks != front.tasks:
            raise ValueError(f"an earlier front has tasks {list(earlier.tasks)}, this one {list(front.tasks)}")
    groups = column_groups(front, columns)
    figure = empty_figure()
    m = len(front.tasks)
    panels, key = lay_out(figure, groups, keyed=m == 3 and max(map(len, groups)) <= 3)
    rows = _row_colors(front)
    _fill(panels, front, previous, rows)
    _explain(figure, panels, key, front, previous, rows)
    if titled:
        wide = figure.get_figwidth() > 8 and (size is None or size[0] > 8)
        figure.suptitle(_title(front, title, wide=wide), fontsize=12)
    if size is not None:
        resize(figure, size)
    fit_title(figure)
    separate_labels(figure)
    return figure


def _fill(panels: Sequence[Panel], front: Front, previous: Sequence[Front], rows: Sequence[str]) -> None:
    """Draw into each panel what it is for."""
    for panel in panels:
        if len(panel.names) == 1:
            _one_column(panel.axes, front, previous, panel.names[0])
        elif len(panel.names) == 2:
            _pair_panel(panel.axes, front, previous, (panel.names[0], panel.names[1]), rows, step=len(front.tasks) == 2)
        else:
            _parallel(panel.axes, front, previous, panel.names)


def resize(figure: Figure, size: tuple[float, float]) -> None:
    """Give a figure another size in inches; letters and marks shrink with it, to 0.6 of their size at least."""
    before = figure.get_size_inches()
    factor = float(np.clip(min(np.asarray(size) / before), 0.6, 1.0))
    figure.set_size_inches(*size)
    if factor == 1:
        return
    for axes in figure.axes:
        axes.tick_params(labelsize=10 * factor)
    for one in figure.findobj():
        if isinstance(one, Text):
            one.set_fontsize(float(one.get_fontsize()) * factor)
        elif isinstance(one, Line2D):
            one.set_markersize(one.get_markersize() * factor)
        elif isinstance(one, PathCollection):
            one.set_sizes(np.asarray(one.get_sizes()) * factor**2)


def fit_title(figure: Figure) -> None:
    """Wrap the title of a figure where it is wider, so that it is seen whole; one of many lines gets smaller letters.
    To be called when the figure has its size; the layout makes room for the lines."""
    title = next((text for text in figure.texts if text.get_text() and text.get_text() == figure.get_suptitle()), None)
    if title is None:
        return
    written = title.get_text().split("\n")
    width, height = figure.bbox.width * 0.97, figure.bbox.height * _TALLEST_TITLE
    while True:
        title.set_text("\n".join(piece for line in written for piece in _wrapped(title, line, width)))
        size = float(title.get_fontsize())
        if title.get_window_extent().height <= height or size <= _SMALLEST_TITLE:
            break
        title.set_fontsize(max(0.85 * size, _SMALLEST_TITLE))


def _wrapped(title: Text, line: str, width: float) -> list[str]:
    """A line in as many pieces as it takes for each to be at most `width` pixels wide in the font of `title`."""

    def wide(text: str) -> float:
        title.set_text(text)
        return float(title.get_window_extent().width)

    letters = max(int(len(line) * width / max(wide(line), 1.0)), 1)
    pieces = [line] if letters >= len(line) else textwrap.wrap(line, letters)
    while letters > 1 and any(wide(piece) > width for piece in pieces):
        letters -= 1
        pieces = textwrap.wrap(line, letters)
    return pieces or [line]


def pixels(figure: Figure, dpi: float | None = None) -> NDArray[np.uint8]:
    """What is drawn, as an image (height, width, 3). `savefig` would draw everything twice.

    Args:
        dpi: pixels an inch; by default the figure's.
    """
    if dpi is not None:
        figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba(), dtype=np.uint8)[..., :3]  # type: ignore[no-untyped-call]


def empty_figure() -> Figure:
    """A figure with a canvas of its own."""
    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def column_groups(front: Front, columns: Sequence[Sequence[str]] | None = None) -> list[tuple[str, ...]]:
    """The columns that are asked for, else the losses and one metric of every task, where each has one.

    Raises:
        ValueError: no such column; the nearest name is told.
    """
    if columns is None:
        groups = [tuple(f"{task}/loss" for task in front.tasks)]
        metrics = _metrics_of_all(front)
        return groups if metrics is None or len(front.tasks) == 1 else [*groups, metrics]
    have = list(front.columns())
    for name in itertools.chain.from_iterable(columns):
        if name not in have:
            guess = nearest(name, have)
            hint = f"did you mean '{guess}'?" if guess else f"there are: {', '.join(have)}"
            raise ValueError(f"the front has no column '{name}'; {hint}")
    return [tuple(group) for group in columns if group]


def _metrics_of_all(front: Front) -> tuple[str, ...] | None:
    shared = front.shared_metrics()
    if shared:
        return tuple(f"{task}/{shared[0]}" for task in front.tasks)
    firsts = [next((name for name in front.metrics if name.startswith(f"{task}/")), None) for task in front.tasks]
    return None if None in firsts else tuple(name for name in firsts if name is not None)


@frozen
class Panel:
    """Axes, and the columns that they show: one, two against each other, or more as parallel coordinates."""

    names: tuple[str, ...]
    axes: Axes


def _pairs_of(group: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The panels of a group of columns: all pairs of three, else one panel."""
    return list(itertools.combinations(group, 2)) if len(group) == 3 else [group]


def lay_out(
    figure: Figure, groups: Sequence[tuple[str, ...]], *, keyed: bool = False
) -> tuple[list[Panel], Axes | None]:
    """Panels for groups of columns, a row for each group of three or more; of small ones up to four share a row. With
    `keyed` an empty panel at the end of the first row."""
    rows: list[list[tuple[str, ...]]] = []
    for group in groups:
        small = len(group) < 3
        if small and rows and len(rows[-1]) < 4 and all(len(names) < 3 for names in rows[-1]) and not keyed:
            rows[-1].append(group)
        else:
            rows.append(_pairs_of(group))
    if keyed and len(rows) == 1 and len(rows[0]) == 3:  # three panels and the key make a square
        rows = [rows[0][:2], rows[0][2:]]
        across, key_at = 2, (1, 1)
    else:
        across = max(map(len, rows)) + keyed
        key_at = (0, across - 1)
    widest = max(len(names) for row in rows for names in row)
    if widest > 3:
        figure.set_size_inches(min(max(1.5 * widest + 1.5, 9.0), 18.0), _STRIP * len(rows) + 1.4)
    else:
        width, height = _PANEL if across <= 2 else _SMALL
        figure.set_size_inches(width * across + 1.0 * (across < 3), height * len(rows) + 0.5)
    grid = figure.add_gridspec(len(rows), across)
    panels = []
    for index, row in enumerate(rows):
        for place, names in enumerate(row):
            where = grid[index, :] if len(names) > 3 else grid[index, place]
            panels.append(Panel(names, figure.add_subplot(where)))
    return panels, figure.add_subplot(grid[key_at]) if keyed else None


def _explain(
    figure: Figure,
    panels: Sequence[Panel],
    key: Axes | None,
    front: Front,
    previous: Sequence[Front],
    rows: Sequence[str],
) -> None:
    """What colors and marks mean."""
    m, first = len(front.tasks), panels[0]
    if m == 2:
        colors = colormaps[_COLORS]
        bar = figure.colorbar(ScalarMappable(Normalize(0, 1), colors), ax=[panel.axes for panel in panels], pad=0.02)
        bar.set_label(f"preference for {front.tasks[0]}  (the rest for {front.tasks[1]})")
    if key is not None:
        _triangle(key, front, rows)
        _legend(key, front, previous, line=False, at=(0.62, 0.88))
    elif m > 3:
        _many_key(figure, [panel.axes for panel in panels], front, bool(previous))
    elif m > 1 and len(first.names) < 4:
        _legend(first.axes, front, previous)
    for panel in panels:
        losses = tuple(f"{task}/loss" for task in front.tasks)
        if m == 2 and panel.names == losses and front.reference is not None:
            _reference(panel.axes, front.reference)
    for panel in panels:
        if len(panel.names) == 2:
            mark_equal(panel.axes, np.stack([front.columns()[name] for name in panel.names], axis=1))


def _row_colors(front: Front) -> list[str]:
    """A color for each point, by its preference."""
    m = len(front.tasks)
    if m == 1:
        return ["tab:blue"] * len(front.losses)
    if m == 2:
        return [to_hex(colormaps[_COLORS](weight)) for weight in front.preferences[:, 0]]
    if m == 3:
        return _mixed(front.preferences)
    colors = _task_colors(m)
    return [to_hex(colors(int(chief))) for chief in front.preferences.argmax(axis=1)]


def _task_colors(m: int) -> ListedColormap:
    named = m <= _MOST_NAMED_COLORS
    return ListedColormap(colormaps["tab10"](np.arange(m)) if named else colormaps["turbo"](np.linspace(0.05, 0.95, m)))


def _title(front: Front, title: str | None, *, wide: bool) -> str:
    parts = [] if title is None else [title]
    kept = int(front.nondominated().sum())
    parts.append(f"{front.split} front, {kept} of {len(front.losses)} points non-dominated")
    lines = [" · ".join(parts)]
    volumes = []
    for name, indicator in front.hypervolumes().items():
        reference = [f"{value:g}" for value in indicator["reference"]]
        if len(set(reference)) == 1 and len(reference) > 3:
            corner = f"all {reference[0]}"
        else:
            corner = ", ".join(reference) if len(reference) <= 4 else ", ".join([*reference[:3], "…"])
        volumes.append(f"{name} {indicator['value']:.4g} (reference {corner})")
    if volumes and wide:
        lines.append("hypervolume of " + ", of ".join(volumes[:2]))
    else:
        lines += [f"hypervolume of {volume}" for volume in volumes[:2]]
    return "\n".join(lines)


# --- one column -----------------------------------------------------------------------------------------------------


def _one_column(axes: Axes, front: Front, previous: Sequence[Front], name: str) -> None:
    fronts = [earlier for earlier in (*previous, front) if name in earlier.columns()]
    for index, earlier in enumerate(fronts):
        last = index == len(fronts) - 1
        values = earlier.columns()[name]
        axes.plot(
            np.full(len(values), index), values, "o", color="tab:blue" if last else "0.7", markersize=9 if last else 6
        )
    axes.set_xticks([])
    task, _, what = name.partition("/")
    axes.set_ylabel(f"{what} of {task}  ({'↓' if _is_minimized(front, name) else '↑'} better)")
    axes.set_ylim(*axis_range(np.concatenate([earlier.columns()[name] for earlier in fronts])))
    tidy(axes)


# --- two columns ----------------------------------------------------------------------------------------------------


def _pair_panel(
    axes: Axes,
    front: Front,
    previous: Sequence[Front],
    names: tuple[str, str],
    colors: Sequence[str],
    step: bool = True,
) -> None:
    """Two columns of a front against each other, earlier fronts behind, axes titled with the direction of better."""
    signs = np.array([1.0 if _is_minimized(front, name) else -1.0 for name in names])
    points = np.stack([front.columns()[name] for name in names], axis=1)
    clouds = []
    for index, earlier in enumerate(previous):
        columns = earlier.columns()
        if all(name in columns for name in names):
            cloud = np.stack([columns[name] for name in names], axis=1)
            clouds.append(cloud)
            gray = str(0.86 - 0.36 * (index + 1) / len(previous))
            if step:
                axes.plot(*_staircase(cloud, signs), color=gray, linewidth=1, zorder=1)
            axes.plot(cloud[:, 0], cloud[:, 1], ".", color=gray, markersize=4, zorder=1)
    if step:
        axes.plot(*_staircase(points, signs), color="0.25", linewidth=1, zorder=2)
    _scatter(axes, points, colors, front.nondominated())
    label_axes(axes, front, names)
    for limits, column in ((axes.set_xlim, 0), (axes.set_ylim, 1)):
        minimized = _is_minimized(front, names[column])
        limits(*_limits(points[:, column], [cloud[:, column] for cloud in clouds], minimized))
    tidy(axes)


def label_axes(axes: Axes, front: Front, names: tuple[str, str]) -> None:
    """Name two axes by their columns, with the direction of better."""
    for name, label, arrows in ((names[0], axes.set_xlabel, "←→"), (names[1], axes.set_ylabel, "↓↑")):
        task, _, what = name.partition("/")
        direction = "" if what == "preference" else f"  ({arrows[not _is_minimized(front, name)]} better)"
        label(f"{what} of {task}{direction}")
    axes.locator_params(axis="x", nbins=5)  # labels of a narrow range are long


def _scatter(axes: Axes, points: Array, colors: Sequence[str], kept: NDArray[np.bool_]) -> None:
    """Points (n, 2) in their colors: full where `kept`, else hollow and behind."""
    for full in (False, True):
        chosen = np.flatnonzero(kept == full)
        own = [colors[row] for row in chosen.tolist()]
        if own:
            axes.scatter(
                points[chosen, 0],
                points[chosen, 1],
                s=48 if full else 42,
                facecolors=own if full else "none",
                edgecolors=["white"] if full else own,
                linewidths=0.6 if full else 1.4,
                zorder=4 if full else 3,
            )


def _staircase(points: Array, signs: Array) -> tuple[Array, Array]:
    """The border of what two columns dominate, from point to point in steps; `signs` are −1 for what is maximized."""
    usable = points[~np.isnan(points).any(axis=1)] * signs
    best = usable[nondominated(usable)] if len(usable) else usable
    best = best[np.lexsort((best[:, 1], best[:, 0]))]
    x = np.repeat(best[:, 0], 2)[1:] * signs[0]
    y = np.repeat(best[:, 1], 2)[:-1] * signs[1]
    return x, y


def axis_range(values: Array, room: float = 0.08) -> tuple[float, float]:
    """The range of an axis: all numbers with room around them, at least `LEAST_SPAN` of the largest, in the middle."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    span = max(high - low, LEAST_SPAN * max(abs(low), abs(high)), 1e-9)
    middle = (low + high) / 2
    return middle - (0.5 + room) * span, middle + (0.5 + room) * span


def _limits(values: Array, earlier: Sequence[Array], minimized: bool) -> tuple[float, float]:
    """The range of an axis: all of this front, and of earlier ones what is not so much worse as to squeeze it."""
    shown = [values]
    low, high = axis_range(values, room=0.0)
    span = high - low
    for others in earlier:
        shown.append(np.minimum(others, high + 2 * span) if minimized else np.maximum(others, low - 2 * span))
    return axis_range(np.concatenate(shown))


_COUNT = (0.1, 0.06)
"""What a number beside a point takes of the range of the axes, across and upward, in a small figure."""


def mark_equal(axes: Axes, points: Array) -> None:
    """Put a ring with their number around points (n, 2) that lie on one another, by the range of the axes. Of numbers
    that would cover each other the largest stands."""
    spans = np.array([np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())])
    told: list[Array] = []
    for rows in sorted(equal_rows(points / spans, within=0.004), key=len, reverse=True):
        x, y = place = points[rows].mean(axis=0)
        axes.scatter([x], [y], s=90 + 30 * min(len(rows), 10), facecolors="none", edgecolors="0.25", zorder=5)
        if any((np.abs(place - other) / spans < _COUNT).all() for other in told):
            continue
        told.append(place)
        axes.annotate(
            f"×{len(rows)}", (x, y), xytext=(9, 7), textcoords="offset points", fontsize=9, color="0.25", zorder=6
        )


def equal_rows(points: Array, within: float) -> list[list[int]]:
    """Groups of two or more rows of (n, k) that differ from the first of them by at most `within` in each column; rows
    with nan belong to none."""
    left = [row for row in range(len(points)) if not np.isnan(points[row]).any()]
    found = []
    while left:
        near = [row for row in left if np.abs(points[row] - points[left[0]]).max() <= within]
        if len(near) > 1:
            found.append(near)
        left = [row for row in left if row not in near]
    return found


def _reference(axes: Axes, reference: tuple[float, ...]) -> None:
    """Mark the reference point of two tasks, if that does not more than double either axis."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x, y = reference
    if right < x <= right + (right - left) and top < y <= top + (top - bottom):
        axes.plot([x], [y], "x", color="tab:red", markersize=8, markeredgewidth=2)
        axes.annotate(
            "reference point",
            (x, y),
            xytext=(-9, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            color="tab:red",
        )
        axes.set_xlim(left, x + 0.08 * (x - left))
        axes.set_ylim(bottom, y + 0.08 * (y - bottom))


# --- three tasks ----------------------------------------------------------------------------------------------------


def _mixed(preferences: Array) -> list[str]:
    """A color for each of n preferences: the primaries of three tasks mixed by weight, all equally bright."""
    mix = np.clip(preferences, 0, 1) @ _PRIMARIES
    return [to_hex(color / max(color.max(), 1e-9) * 0.86) for color in mix]


def _triangle(axes: Axes, front: Front, colors: Sequence[str]) -> None:
    """The key of the colors: every preference at its place in the simplex."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])
    outline = corners[[0, 1, 2, 0]]
    axes.plot(outline[:, 0], outline[:, 1], color="0.6", linewidth=1, zorder=1)
    _scatter(axes, front.preferences @ corners, colors, front.nondominated())
    for (x, y), task, color, away in zip(corners, front.tasks, _PRIMARIES, (-18, -18, 14), strict=True):
        axes.annotate(
            task,
            (x, y),
            xytext=(0, away),
            textcoords="offset points",
            ha="center",
            va="center",
            color=to_hex(color),
            fontweight="bold",
            annotation_clip=False,
        )
    axes.set_title("color: preference", fontsize=11, pad=22)
    axes.set_aspect("equal")
    axes.margins(0.12)
    axes.set_axis_off()


# --- parallel coordinates -------------------------------------------------------------------------------------------


def scaled(fronts: Sequence[Front], names: Sequence[str]) -> tuple[list[Array], Array]:
    """Columns of several fronts, each as (n, k) with 0 and 1 at the ends of each column's range, and the smallest and
    largest value of each column, (k, 2). A column spans at least `LEAST_SPAN` of its largest number."""
    every = [np.stack([front.columns()[name] for name in names], axis=1) for front in fronts]
    whole = np.concatenate(every)
    ranges = np.array([axis_range(column, room=0.0) for column in whole.T])
    ends = np.array([[np.nanmin(c), np.nanmax(c)] if np.isfinite(c).any() else [np.nan, np.nan] for c in whole.T])
    return [(values - ranges[:, 0]) / (ranges[:, 1] - ranges[:, 0]) for values in every], ends


def name_axes(axes: Axes, front: Front, names: Sequence[str], ends: Array) -> None:
    """Lines, ticks and titles of parallel coordinates."""
    one_measure = len({name.partition("/")[2] for name in names}) == 1
    for place in range(len(names)):
        axes.axvline(place, color="0.75", linewidth=0.8, zorder=0)
    ticks = []
    for name, (low, high) in zip(names, ends, strict=True):
        own = name.partition("/")[0] if one_measure else name
        own = own if len(own) <= _LONGEST_NAME else f"{own[: _LONGEST_NAME - 1]}…"
        ticks.append(own if len(names) > 12 else f"{own}\n{low:.3g} to {high:.3g}")
    axes.set_xticks(range(len(names)), ticks, rotation=90 if len(names) > 12 else 0)
    upward = {not _is_minimized(front, name) for name in names}
    better = "" if len(upward) > 1 else f"  ({'↑' if upward.pop() else '↓'} better)"
    what = names[0].partition("/")[2] if one_measure else "each"
    axes.set_ylabel(f"{what}, scaled to its range{better}")
    axes.set_xlim(-0.2, len(names) - 0.8)
    axes.set_ylim(-0.05, 1.05)
    tidy(axes, grid=False)


def _parallel(axes: Axes, front: Front, previous: Sequence[Front], names: tuple[str, ...]) -> None:
    known = [earlier for earlier in previous if all(name in earlier.columns() for name in names)]
    (values,), ends = scaled([front], names)
    name_axes(axes, front, names, ends)
    ranges = np.array([axis_range(front.columns()[name], room=0.0) for name in names])
    bottom = -0.05
    for index, earlier in enumerate(known):
        best = [
            np.nanmin(c) if _is_minimized(front, n) else np.nanmax(c)
            for n, c in ((n, earlier.columns()[n]) for n in names)
        ]
        line = (np.array(best) - ranges[:, 0]) / (ranges[:, 1] - ranges[:, 0])
        bottom = min(bottom, max(float(line.min()) - 0.05, -0.5))
        axes.plot(line, color=str(0.86 - 0.36 * (index + 1) / len(known)), linewidth=1.5, linestyle=":", zorder=1)
    axes.set_ylim(bottom, 1.05)
    m, weight = len(front.tasks), front.preferences.max(axis=1)
    even, rows, kept = _is_even(front), _row_colors(front), front.nondominated()
    # The more a preference stands out, the stronger its line; an even one belongs to no task and is black.
    strength = 0.15 + 0.85 * np.clip((weight - 1 / m) / max(1 - 1 / m, 1e-9), 0, 1)
    for row in np.argsort(weight):
        axes.plot(
            values[row],
            color="black" if even[row] else rows[row],
            alpha=1.0 if even[row] else float(strength[row]),
            linewidth=2.4 if even[row] else 1.0 + 1.2 * float(strength[row]),
            linestyle="-" if kept[row] else (0, (4, 3)),
            zorder=3 if even[row] else 2,
        )
    for same in equal_rows(values, within=0.004):
        axes.annotate(
            f"×{len(same)}", (len(names) - 1, float(values[same[0], -1])), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=9, annotation_clip=False,
        )  # fmt: skip


def _is_even(front: Front) -> NDArray[np.bool_]:
    return np.asarray(front.preferences.max(axis=1) <= 1 / len(front.tasks) + 1e-6)


def _many_key(figure: Figure, panels: list[Axes], front: Front, has_previous: bool) -> None:
    """What the lines mean: a legend of tasks, or a color bar where they are too many to tell apart by name."""
    m = len(front.tasks)
    handles, colors = [], _task_colors(m)
    if m <= _MOST_NAMED_COLORS:
        handles += [Line2D([], [], color=colors(t), linewidth=2.2, label=task) for t, task in enumerate(front.tasks)]
    else:
        bar = figure.colorbar(ScalarMappable(Normalize(-0.5, m - 0.5), colors), ax=panels, pad=0.01)
        bar.set_label("task with the largest weight")
        bar.set_ticks([])
    if _is_even(front).any():
        handles.append(Line2D([], [], color="black", linewidth=2.4, label="equal weights"))
    if not front.nondominated().all():
        handles.append(Line2D([], [], color="0.4", linestyle=(0, (4, 3)), label="dominated"))
    if has_previous:
        handles.append(Line2D([], [], color="0.6", linestyle=":", label="best of earlier fronts"))
    if handles:
        title = "largest weight on" if m <= _MOST_NAMED_COLORS else None
        figure.legend(handles=handles, title=title, loc="outside right center", frameon=False, alignment="left")


# --- common ---------------------------------------------------------------------------------------------------------


def _is_minimized(front: Front, name: str) -> bool:
    return not front.higher_is_better.get(name, False)


def _legend(
    axes: Axes, front: Front, previous: Sequence[Front], *, line: bool = True, at: tuple[float, float] | None = None
) -> None:
    """Only what needs words: hollow points and earlier fronts. `at`: its upper left corner, in parts of the panel."""
    handles = []
    gray = {"color": "0.55", "marker": ".", "linestyle": "-" if line else "none"}
    if not front.nondominated().all():
        handles.append(
            Line2D(
                [], [], color="0.4", marker="o", markerfacecolor="none", linestyle="none", label="dominated (in losses)"
            )
        )
    if previous:
        handles.append(Line2D([], [], **gray, label="earlier fronts"))  # type: ignore[arg-type]
    if handles:
        axes.legend(
            handles=handles, frameon=False, fontsize=9, loc="best" if at is None else "upper left", bbox_to_anchor=at
        )


def tidy(axes: Axes, grid: bool = True) -> None:
    """Two sides of a frame, and a pale grid behind."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if grid:
        axes.grid(color="0.92", linewidth=0.8)
        axes.set_axisbelow(True)


# --- labels of ticks ------------------------------------------------------------------------------------------------


def separate_labels(figure: Figure) -> None:
    """Make labels of ticks stand apart: fewer ticks of numbers; names turned upright, then smaller, then fewer. Drawn
    boxes decide, so it works for any size, font and name. The layout that was found stays: whoever draws the figure
    need not find it again.

    Raises:
        ValueError: the figure is too small for its panels.
    """
    for attempt in range(12):
        _lay_out(figure)
        crowded = _crowded(figure)
        if not crowded:
            break
        for axes, axis in crowded:
            _make_room(axes, axis, attempt)
    figure.set_layout_engine("none")


def _lay_out(figure: Figure) -> None:
    """Give everything its place, as drawing would, without drawing it."""
    engine = figure.get_layout_engine()
    assert engine is not None
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="constrained_layout not applied")
        try:
            engine.execute(figure)
        except UserWarning:
            width, height = figure.get_size_inches()
            raise ValueError(
                f"{len(figure.axes)} panels do not fit into {width:g} × {height:g} inches: choose fewer columns, or a "
                "larger size"
            ) from None


def _crowded(figure: Figure) -> list[tuple[Axes, AxisName]]:
    """Axes, and `x` or `y`, with a label that overlaps another one of the figure."""
    places, boxes = [], []
    for axes in figure.axes:
        for axis in _AXES:
            for box in _boxes(axes, axis):
                places.append((axes, axis))
                boxes.append(box)
    if len(boxes) < 2:
        return []
    corners = np.array([box.extents for box in boxes])  # left, bottom, right, top
    low, high = corners[:, :2], corners[:, 2:]
    meet = np.asarray(((low[:, None] < high[None]) & (low[None] < high[:, None])).all(axis=2))
    np.fill_diagonal(meet, False)
    return list(dict.fromkeys(places[i] for i in np.flatnonzero(meet.sum(axis=1))))


def _boxes(axes: Axes, axis: AxisName) -> Iterator[Bbox]:
    """Boxes of the labels that are seen, in pixels."""
    own = axes.xaxis if axis == "x" else axes.yaxis
    if not axes.axison:
        return
    own.get_majorticklabels()  # brings ticks up to date, as drawing would
    low, high = sorted(own.get_view_interval())
    slack = 1e-9 * (high - low)
    for tick, at in zip(own.get_major_ticks(), own.get_majorticklocs(), strict=False):
        for label in (tick.label1, tick.label2):
            if label.get_visible() and label.get_text() and low - slack <= at <= high + slack:
                yield label.get_window_extent()


def _make_room(axes: Axes, axis: AxisName, attempt: int) -> None:
    own = axes.xaxis if axis == "x" else axes.yaxis
    formatter = own.get_major_formatter()
    if not isinstance(formatter, FixedFormatter):
        own.set_major_locator(MaxNLocator(max(5 - attempt, 1)))
        if attempt >= 4:
            axes.tick_params(axis=axis, labelsize=max(10 * 0.8 ** (attempt - 3), _SMALLEST_FONT))
        return
    labels = own.get_ticklabels()
    size = float(labels[0].get_fontsize())
    if axis == "x" and labels[0].get_rotation() == 0:
        axes.tick_params(axis="x", rotation=90)
    elif size > _SMALLEST_FONT:
        axes.tick_params(axis=axis, labelsize=max(0.8 * size, _SMALLEST_FONT))
    else:
        at, texts = own.get_majorticklocs(), [label.get_text() for label in labels]
        own.set_major_locator(FixedLocator(list(at[::2])))
        own.set_major_formatter(FixedFormatter(texts[::2]))
