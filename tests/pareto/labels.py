"""Labels of ticks in a figure, measured with the renderer."""

from __future__ import annotations

import itertools

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["crowded"]


def crowded(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of labels of ticks, of all axes of a figure as it is drawn, whose boxes overlap."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()  # type: ignore[no-untyped-call]
    seen = []
    for axes in figure.axes:
        if not axes.axison:
            continue
        for axis, (low, high) in ((axes.xaxis, sorted(axes.get_xlim())), (axes.yaxis, sorted(axes.get_ylim()))):
            for label, at in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True):
                if label.get_text() and label.get_visible() and low <= at <= high:
                    seen.append((label.get_text(), label.get_window_extent(canvas.get_renderer())))
    assert len(seen) > 1
    return [(a, b) for (a, one), (b, other) in itertools.combinations(seen, 2) if one.overlaps(other)]
