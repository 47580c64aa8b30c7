"""Figures of runs for papers, by matplotlib: one run as its own picture, several in one with shapes and colors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from moframework.errors import RequestError
from moframework.io.atomic import atomic_write
from moframework.pareto.front import Front
from moframework.pareto.plots import (
    axis_range,
    column_groups,
    empty_figure,
    equal_rows,
    fit_title,
    front_figure,
    label_axes,
    lay_out,
    mark_equal,
    name_axes,
    resize,
    scaled,
    separate_labels,
    tidy,
)
from moframework.report.collecting import Shown, collect

__all__ = ["FORMATS", "runs_figure", "write_figure"]

Array = NDArray[np.float64]
Style = Mapping[str, Any]

FORMATS = ("pdf", "svg", "png")
# Okabe and Ito's colors but yellow, which white paper hides; a shape beside each is the second cue.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B58900", "#56B4E9", "#5B4B9A", "#444444")
_MARKERS = "os^Dv*Hp<>"
_DPI = 200


def runs_figure(
    runs: Sequence[Path | str],
    *,
    split: str = "test",
    columns: Sequence[Sequence[str]] | None = None,
    size: tuple[float, float] | None = None,
    titled: bool = True,
) -> Figure:
    """A picture of one run (`front_figure`), or of several: each has a color and a shape.

    Points that their own run dominates in all losses are hollow, or dashed lines; runs of one point are baselines, and
    larger. Equal points have a ring that says how many they are.

    Args:
        runs: their folders; of the same tasks.
        split: `test` or `val`.
        columns: groups of columns to show, see `front_figure`; by default the losses, and a metric of every task.
        size: width and height in inches; by default what fits.
        titled: whether there is a title.

    Returns:
        a figure with a canvas of its own, for `savefig`.

    Raises:
        RunError: one is no run, has not finished or has other tasks.
        RequestError: there is no such column, or the size is too small.

    Example::

        runs_figure(["runs/quickstart", "runs/stl"], size=(3.3, 2.8)).savefig("fronts.pdf")
    """
    shown = collect(runs)
    try:
        if len(shown) == 1:
            return front_figure(shown[0].fronts[split], columns=columns, size=size, titled=titled)
        return _several(shown, split, columns, size, titled)
    except ValueError as error:
        raise RequestError(f"{shown[0].run.path}: {error}") from error


def write_figure(runs: Sequence[Path | str], path: Path, **options: Any) -> None:
    """Write `runs_figure` to a file, whole or not at all; its ending is the format, one of `FORMATS`.

    Raises:
        RunError, RequestError: as `runs_figure`.
        RequestError: another ending.
        OSError: the file cannot be written.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise RequestError(
            f"{path}: a figure is written as {', '.join(f'.{one}' for one in FORMATS)}, not as '{path.suffix}'"
        )
    figure = runs_figure(runs, **options)
    with atomic_write(path) as partial:
        figure.savefig(partial, format=kind, dpi=_DPI)


def _several(
    shown: Sequence[Shown],
    split: str,
    columns: Sequence[Sequence[str]] | None,
    size: tuple[float, float] | None,
    titled: bool,
) -> Figure:
    fronts = [one.fronts[split] for one in shown]
    groups = column_groups(fronts[0], columns)
    for one, front in zip(shown, fronts, strict=True):
        missing = [name for group in groups for name in group if name not in front.columns()]
        if missing:
            raise RequestError(
                f"{one.run.path} has no column '{missing[0]}', which {shown[0].run.path} has: give --columns"
            )
    styles = _styles(shown)
    figure = empty_figure()
    panels, _ = lay_out(figure, groups)
    for panel in panels:
        if len(panel.names) == 1:
            _strip(panel.axes, fronts, styles, panel.names[0])
        elif len(panel.names) == 2:
            _pair(panel.axes, shown, fronts, styles, (panel.names[0], panel.names[1]))
        else:
            _parallel(panel.axes, fronts, styles, panel.names)
    _legend(figure, shown, fronts, styles)
    if titled:
        figure.suptitle(f"{split} fronts of {len(shown)} runs", fontsize=12)
    if size is not None:
        resize(figure, size)
    fit_title(figure)
    separate_labels(figure)
    return figure


def _styles(shown: Sequence[Shown]) -> list[Style]:
    return [
        {
            "color": _COLORS[i % len(_COLORS)],
            "marker": _MARKERS[i % len(_MARKERS)],
            "markersize": 9 if one.kind in ("single", "single_task") else 6,
        }
        for i, one in enumerate(shown)
    ]


def _pair(
    axes: Axes, shown: Sequence[Shown], fronts: Sequence[Front], styles: Sequence[Style], names: tuple[str, str]
) -> None:
    clouds = [np.stack([front.columns()[name] for name in names], axis=1) for front in fronts]
    for one, front, style, cloud in zip(shown, fronts, styles, clouds, strict=True):
        kept = front.nondominated()
        if one.kind == "continuous" and len(front.tasks) == 2:
            order = np.argsort(front.preferences[:, 0], kind="stable")
            axes.plot(cloud[order, 0], cloud[order, 1], color=style["color"], linewidth=1, alpha=0.6, zorder=2)
        axes.plot(cloud[kept, 0], cloud[kept, 1], linestyle="none", markeredgecolor="white", zorder=4, **style)
        axes.plot(cloud[~kept, 0], cloud[~kept, 1], linestyle="none", markerfacecolor="none", zorder=3, **style)
    every = np.concatenate(clouds)
    axes.set_xlim(*axis_range(every[:, 0]))
    axes.set_ylim(*axis_range(every[:, 1]))
    label_axes(axes, fronts[0], names)
    tidy(axes)
    mark_equal(axes, every)


def _strip(axes: Axes, fronts: Sequence[Front], styles: Sequence[Style], name: str) -> None:
    for place, (front, style) in enumerate(zip(fronts, styles, strict=True)):
        values = front.columns()[name]
        axes.plot(np.full(len(values), place), values, linestyle="none", **style)
    axes.set_xticks([])
    axes.set_ylim(*axis_range(np.concatenate([front.columns()[name] for front in fronts])))
    task, _, what = name.partition("/")
    axes.set_ylabel(f"{what} of {task}  ({'↑' if fronts[0].higher_is_better.get(name, False) else '↓'} better)")
    tidy(axes)


def _parallel(axes: Axes, fronts: Sequence[Front], styles: Sequence[Style], names: tuple[str, ...]) -> None:
    lines, ends = scaled(fronts, names)
    name_axes(axes, fronts[0], names, ends)
    few = len(names) <= 12
    for front, style, values in zip(fronts, styles, lines, strict=True):
        for row, kept in zip(values, front.nondominated(), strict=True):
            axes.plot(
                row, color=style["color"], linewidth=1.2, linestyle="-" if kept else (0, (4, 3)), alpha=0.8,
                marker=style["marker"], markersize=4, markevery=1 if few else [0, len(names) - 1],
                markerfacecolor=style["color"] if kept else "none",
            )  # fmt: skip
    every = np.concatenate(lines)
    for same in equal_rows(every, within=0.004):
        axes.annotate(
            f"×{len(same)}", (len(names) - 1, float(every[same[0], -1])), xytext=(5, 0), textcoords="offset points",
            va="center", fontsize=9, annotation_clip=False,
        )  # fmt: skip


def _legend(figure: Figure, shown: Sequence[Shown], fronts: Sequence[Front], styles: Sequence[Style]) -> None:
    handles = [
        Line2D([], [], linestyle="none", label=one.name, **style) for one, style in zip(shown, styles, strict=True)
    ]
    if not all(front.nondominated().all() for front in fronts):
        handles.append(
            Line2D([], [], linestyle="none", marker="o", color="0.4", markerfacecolor="none", label="hollow: dominated")
        )
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4), frameon=False, fontsize=10)
