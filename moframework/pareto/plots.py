"""Pictures of fronts, as matplotlib figures. What must not live here: files, TensorBoard, indicators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from moframework.pareto import nondominated
from moframework.pareto.front import Front

__all__ = ["front_figure"]

Array = NDArray[np.float64]

_COLORS = "viridis"
_PRIMARIES = np.array([[0.86, 0.22, 0.18], [0.13, 0.58, 0.29], [0.16, 0.38, 0.82]])  # of three tasks, mixed by weight
_PANEL = (4.6, 4.2)  # inches
_MOST_NAMED_COLORS = 10


def front_figure(front: Front, *, previous: Sequence[Front] = (), title: str | None = None) -> Figure:
    """A picture of a front, with its hypervolume in the title.

    Two tasks: losses, and beside them the metric that the tasks share (else the first metric of each), colored by the
    weight of the first task. Three: losses pair by pair, colored by a mix of one color a task. More: parallel
    coordinates of the losses, each scaled to its range, colored by the task with the largest weight. One: its loss.
    Points that are dominated in the losses are hollow, or dashed lines. The reference point is shown where it is near.

    Args:
        front: what to show.
        previous: earlier fronts of the same tasks, oldest first, drawn gray behind: light are old.
        title: stands before the split and the hypervolumes.

    Returns:
        a figure with a canvas of its own, for `savefig` or a canvas; pyplot knows nothing of it.

    Raises:
        ValueError: an earlier front has other tasks.
    """
    for earlier in previous:
        if earlier.tasks != front.tasks:
            raise ValueError(f"an earlier front has tasks {list(earlier.tasks)}, this one {list(front.tasks)}")
    m = len(front.tasks)
    draw = _one_task if m == 1 else _two_tasks if m == 2 else _three_tasks if m == 3 else _many_tasks
    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure, front, previous)
    figure.suptitle(_title(front, title, wide=figure.get_figwidth() > 8), fontsize=12)
    return figure


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


# --- one task -------------------------------------------------------------------------------------------------------


def _one_task(figure: Figure, front: Front, previous: Sequence[Front]) -> None:
    figure.set_size_inches(_PANEL[0] * 1.2, _PANEL[1])
    axes = figure.subplots()
    fronts = [*previous, front]
    for index, earlier in enumerate(fronts):
        last = index == len(fronts) - 1
        values = earlier.losses[:, 0]
        axes.plot(
            np.full(len(values), index), values, "o", color="tab:blue" if last else "0.7", markersize=9 if last else 6
        )
    axes.set_xticks([])
    axes.set_ylabel(f"loss of {front.tasks[0]}  (↓ better)")
    _tidy(axes)


# --- two tasks ------------------------------------------------------------------------------------------------------


def _two_tasks(figure: Figure, front: Front, previous: Sequence[Front]) -> None:
    pairs = [(f"{front.tasks[0]}/loss", f"{front.tasks[1]}/loss")]
    metrics = _metric_pair(front)
    if metrics is not None:
        pairs.append(metrics)
    figure.set_size_inches(_PANEL[0] * len(pairs) + 1.0, _PANEL[1] + 0.5)
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    colors = colormaps[_COLORS]
    for axes, (x, y) in zip(panels, pairs, strict=True):
        _pair_panel(axes, front, previous, (x, y), [to_hex(colors(weight)) for weight in front.preferences[:, 0]])
    if front.reference is not None:
        _reference(panels[0], front.reference)
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), colors), ax=list(panels), pad=0.02)
    bar.set_label(f"preference for {front.tasks[0]}  (the rest for {front.tasks[1]})")
    _legend(panels[0], front, previous)


def _metric_pair(front: Front) -> tuple[str, str] | None:
    shared = front.shared_metrics()
    if shared:
        return f"{front.tasks[0]}/{shared[0]}", f"{front.tasks[1]}/{shared[0]}"
    firsts = [next((name for name in front.metrics if name.startswith(f"{task}/")), None) for task in front.tasks]
    return None if firsts[0] is None or firsts[1] is None else (firsts[0], firsts[1])


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
    for name, label, limits, column in (
        (names[0], axes.set_xlabel, axes.set_xlim, 0),
        (names[1], axes.set_ylabel, axes.set_ylim, 1),
    ):
        minimized = _is_minimized(front, name)
        arrow = ("←" if minimized else "→") if column == 0 else ("↓" if minimized else "↑")
        task, _, what = name.partition("/")
        label(f"{what} of {task}  ({arrow} better)")
        limits(*_limits(points[:, column], [cloud[:, column] for cloud in clouds], minimized))
    axes.locator_params(axis="x", nbins=5)  # labels of a narrow range are long, and would run into each other
    _tidy(axes)


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


def _limits(values: Array, earlier: Sequence[Array], minimized: bool) -> tuple[float, float]:
    """The range of an axis: all of this front, and of earlier ones what is not so much worse as to squeeze it."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    span = max(high - low, 0.02 * max(abs(low), abs(high)), 1e-9)
    if earlier:
        others = np.concatenate(list(earlier))
        if minimized:
            low, high = min(low, float(np.nanmin(others))), max(high, min(float(np.nanmax(others)), high + 2 * span))
        else:
            low, high = min(low, max(float(np.nanmin(others)), low - 2 * span)), max(high, float(np.nanmax(others)))
        span = max(high - low, span)
    return low - 0.08 * span, high + 0.08 * span


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


def _three_tasks(figure: Figure, front: Front, previous: Sequence[Front]) -> None:
    figure.set_size_inches(_PANEL[0] * 2, _PANEL[1] * 2)
    panels = figure.subplots(2, 2)
    colors = _mixed(front.preferences)
    for axes, (a, b) in zip(panels.flat, ((0, 1), (0, 2), (1, 2)), strict=False):
        names = (f"{front.tasks[a]}/loss", f"{front.tasks[b]}/loss")
        _pair_panel(axes, front, previous, names, colors, step=False)
    _triangle(panels[1, 1], front, colors)
    _legend(panels[1, 1], front, previous, line=False, at=(0.62, 0.88))


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


# --- many tasks -----------------------------------------------------------------------------------------------------


def _many_tasks(figure: Figure, front: Front, previous: Sequence[Front]) -> None:
    m = len(front.tasks)
    figure.set_size_inches(min(max(1.5 * m + 1.5, 9.0), 18.0), 5.4)
    axes = figure.subplots()
    low, high = front.losses.min(axis=0), front.losses.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    bottom = -0.05
    for index, earlier in enumerate(previous):
        gray = str(0.86 - 0.36 * (index + 1) / len(previous))
        best = (earlier.losses.min(axis=0) - low) / span
        bottom = min(bottom, max(float(best.min()) - 0.05, -0.5))
        axes.plot(best, color=gray, linewidth=1.5, linestyle=":", zorder=1)
    chief = front.preferences.argmax(axis=1)
    weight = front.preferences.max(axis=1)
    named = m <= _MOST_NAMED_COLORS
    colors = ListedColormap(
        colormaps["tab10"](np.arange(m)) if named else colormaps["turbo"](np.linspace(0.05, 0.95, m))
    )
    # The more a preference stands out, the stronger its line; an even one belongs to no task and is black.
    even = weight <= 1 / m + 1e-6
    strength = 0.15 + 0.85 * np.clip((weight - 1 / m) / (1 - 1 / m), 0, 1)
    kept = front.nondominated()
    for row in np.argsort(weight):
        axes.plot(
            (front.losses[row] - low) / span,
            color="black" if even[row] else colors(int(chief[row])),
            alpha=1.0 if even[row] else float(strength[row]),
            linewidth=2.4 if even[row] else 1.0 + 1.2 * float(strength[row]),
            linestyle="-" if kept[row] else (0, (4, 3)),
            zorder=3 if even[row] else 2,
        )
    for t in range(m):
        axes.axvline(t, color="0.75", linewidth=0.8, zorder=0)
    turned = m > 12
    ticks = [task if turned else f"{task}\n{low[t]:.3g} to {high[t]:.3g}" for t, task in enumerate(front.tasks)]
    axes.set_xticks(range(m), ticks, rotation=90 if turned else 0)
    axes.set_ylabel("loss, scaled to the range of its task  (↓ better)")
    axes.set_xlim(-0.2, m - 0.8)
    axes.set_ylim(bottom, 1.05)
    _many_key(figure, axes, front, colors, bool(even.any()), bool(previous))
    _tidy(axes, grid=False)


def _many_key(
    figure: Figure, axes: Axes, front: Front, colors: ListedColormap, has_even: bool, has_previous: bool
) -> None:
    """What the lines mean: a legend of tasks, or a color bar where they are too many to tell apart by name."""
    m = len(front.tasks)
    handles = []
    if m <= _MOST_NAMED_COLORS:
        handles += [Line2D([], [], color=colors(t), linewidth=2.2, label=task) for t, task in enumerate(front.tasks)]
    else:
        bar = figure.colorbar(ScalarMappable(Normalize(-0.5, m - 0.5), colors), ax=axes, pad=0.01)
        bar.set_label("task with the largest weight")
        bar.set_ticks([])
    if has_even:
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


def _tidy(axes: Axes, grid: bool = True) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if grid:
        axes.grid(color="0.92", linewidth=0.8)
        axes.set_axisbelow(True)
