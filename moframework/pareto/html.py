"""Fronts as small pieces of HTML, for notebooks: a picture in SVG and a table, without matplotlib.

All that comes from names is escaped. Lines and text have the color of what surrounds them, points colors that are seen
on white and on black; what they stand for does not hang on color alone: dominated points are hollow, or dashed lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from moframework.errors import shortened
from moframework.pareto.front import Front

__all__ = ["front_html", "front_svg"]

Array = NDArray[np.float64]

_WIDTH, _HEIGHT = 360, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 16, 14, 38  # margins
_DRAWN = 100  # points of two tasks; of more tasks fewer, so that the piece stays small
_COORDINATES = 900  # of lines
_ROWS, _COLUMNS = 11, 9  # of the table
_NAME = 24  # characters
_ENDS = np.array([[230.0, 120.0, 20.0], [40.0, 130.0, 240.0]])  # orange and blue: colors of the two vertices
_COLORS = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#d55e00", "#3f8fd0")  # after Okabe and Ito


def front_html(front: Front) -> str:
    """A front as a piece of HTML: what it is, its picture, and a table of its points, less than 30 kB in all."""
    return f'<div class="moframework-front"><div>{escape(repr(front))}</div>{front_svg(front)}{_table(front)}</div>'


def front_svg(front: Front) -> str:
    """The losses of a front as an `<svg>`: two tasks against each other, more side by side, each scaled to its range.

    Points of two tasks are the bluer the larger the weight of the first, those of more tasks have the color of the task
    with the largest weight. A point tells its preference and losses when it is pointed at.
    """
    m = len(front.tasks)
    rows = _chosen(len(front.losses), _DRAWN if m <= 2 else max(2, _COORDINATES // m))
    marks = _points(front, rows) if m <= 2 else _lines(front, rows)
    label = f"losses of the {front.split} front of {front.listed_tasks()}"
    left_out = len(front.losses) - len(rows)
    note = f"<div>{len(rows):,} of {len(front.losses):,} points are drawn.</div>" if left_out else ""
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" style="max-width:100%" font-size="11" fill="currentColor">{marks}</svg>{note}'
    )


def _chosen(n: int, most: int) -> list[int]:
    """At most so many of n rows, evenly."""
    return [int(row) for row in np.unique(np.linspace(0, n - 1, min(n, most)).round())]


def _points(front: Front, rows: Sequence[int]) -> str:
    """One or two tasks: a circle for each point, the losses being its place."""
    x = front.losses[:, 0]
    y = front.losses[:, 1] if len(front.tasks) == 2 else np.zeros(len(x))
    (x_low, x_high), (y_low, y_high) = _range(x), _range(y)
    across = _LEFT + (x - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)
    up = _HEIGHT - _BOTTOM - (y - y_low) / (y_high - y_low) * (_HEIGHT - _TOP - _BOTTOM)
    kept = front.nondominated()
    marks = []
    for row in rows:
        color = _rgb(front.preferences[row, 0])
        look = f'fill="{color}"' if kept[row] else f'fill="none" stroke="{color}" stroke-width="1.6"'
        place = f'cx="{across[row]:.1f}" cy="{up[row]:.1f}"'
        marks.append(f'<circle {place} r="4" {look}><title>{escape(_told(front, row))}</title></circle>')
    return _axes(front, (x.min(), x.max()), (y.min(), y.max())) + "".join(marks)


def _axes(front: Front, x: tuple[float, float], y: tuple[float, float]) -> str:
    """Two axes with what they are, and the least and the largest loss."""
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = [
        f'<path d="M{_LEFT},{_TOP}V{bottom}H{right}" fill="none" stroke="currentColor" opacity=".5"/>',
        _text(f"loss of {_name(front.tasks[0])} (← better)", (_LEFT + right) / 2, _HEIGHT - 6),
        *_ticks(x, (_LEFT + 14, right - 14), lambda value, at: _text(value, at, bottom + 15)),
    ]
    if len(front.tasks) == 2:
        middle = (_TOP + bottom) / 2
        turned = f'transform="rotate(-90 12 {middle:.0f})"'
        parts.append(_text(f"loss of {_name(front.tasks[1])} (← better)", 12, middle, turned))
        parts += _ticks(y, (bottom - 4, _TOP + 12), lambda value, at: _text(value, _LEFT - 5, at, 'text-anchor="end"'))
    return "".join(parts)


def _ticks(ends: tuple[float, float], places: tuple[float, float], draw: Callable[[str, float], str]) -> list[str]:
    """The least and the largest value at an axis; where they look the same, the one in its middle."""
    low, high = (f"{value:.4g}" for value in ends)
    if low == high:
        return [draw(low, sum(places) / 2)]
    return [draw(low, places[0]), draw(high, places[1])]


def _lines(front: Front, rows: Sequence[int]) -> str:
    """More tasks: a line for each point, from task to task; each loss between the least and the largest of its task."""
    m = len(front.tasks)
    low, high = front.losses.min(axis=0), front.losses.max(axis=0)
    scaled = (front.losses - low) / np.where(high > low, high - low, 1.0)
    across = np.linspace(_LEFT, _WIDTH - _RIGHT - 12, m)
    bottom = _HEIGHT - _BOTTOM
    parts = [
        f'<path d="{"".join(f"M{x:.0f},{_TOP}V{bottom}" for x in across)}" stroke="currentColor" opacity=".3"/>',
        _text("loss (↓ better)", 12, (_TOP + bottom) / 2, f'transform="rotate(-90 12 {(_TOP + bottom) / 2:.0f})"'),
        _text("worst", _LEFT - 5, _TOP + 8, 'text-anchor="end"'),
        _text("best", _LEFT - 5, bottom, 'text-anchor="end"'),
    ]
    kept = front.nondominated()
    for row in rows:
        points = " ".join(
            f"{x:.0f},{bottom - y * (bottom - _TOP):.0f}" for x, y in zip(across, scaled[row], strict=True)
        )  # fmt: skip
        color, dashes = _color(front.preferences[row]), "" if kept[row] else ' stroke-dasharray="4 3"'
        title = f"<title>{escape(_told(front, row))}</title>"
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"{dashes}>{title}</polyline>'
        )
    step = -(-m // 6)  # names of as many tasks as have room
    for t in range(0, m, step):
        parts.append(_text(shortened(front.tasks[t], 9), across[t], bottom + (15 if (t // step) % 2 == 0 else 29)))
    return "".join(parts)


def _told(front: Front, row: int) -> str:
    """A point in words."""
    if len(front.tasks) > 3:
        t = int(front.preferences[row].argmax())
        return f"weight {front.preferences[row, t]:.3g} on {_name(front.tasks[t])}"
    preference = ", ".join(f"{weight:.3g}" for weight in front.preferences[row])
    losses = ", ".join(f"{loss:.4g}" for loss in front.losses[row])
    return f"λ {preference}: losses {losses}"


def _table(front: Front) -> str:
    """Preferences, losses and metrics of some points, as many columns as have room."""
    columns = front.columns()
    names = list(columns)[:_COLUMNS]
    rows = _chosen(len(front.losses), _ROWS)
    head = "".join(f"<th>{escape(shortened(name, _NAME))}</th>" for name in names)
    body = "".join(
        f"<tr>{''.join(f'<td>{columns[name][row]:.4g}</td>' for name in names)}</tr>" for row in rows
    )  # fmt: skip
    left_out = [
        f"{len(found) - shown:,} more {what}"
        for what, found, shown in (("points", front.losses, len(rows)), ("columns", columns, len(names)))
        if len(found) > shown
    ]
    note = f"<div>… and {' and '.join(left_out)}</div>" if left_out else ""
    table = f'<table style="color:inherit"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div style="overflow-x:auto">{table}</div>{note}'


def _range(values: Array) -> tuple[float, float]:
    """The range of an axis, somewhat more than that of the values, and never so little that noise fills it."""
    low, high = float(values.min()), float(values.max())
    span = max(high - low, 0.02 * max(abs(low), abs(high)), 1e-9)
    middle = (low + high) / 2
    return middle - 0.55 * span, middle + 0.55 * span


def _rgb(weight: float) -> str:
    red, green, blue = (np.clip([1 - weight, weight], 0, 1) @ _ENDS).round().astype(int).tolist()
    return f"rgb({red},{green},{blue})"


def _color(preference: Array) -> str:
    even = preference.max() <= 1 / len(preference) + 1e-6
    return "currentColor" if even else _COLORS[int(preference.argmax()) % len(_COLORS)]


def _name(task: str) -> str:
    return shortened(task, _NAME)


def _text(words: str, x: float, y: float, more: str = "") -> str:
    anchor = "" if "text-anchor" in more else ' text-anchor="middle"'
    return f'<text x="{x:.0f}" y="{y:.0f}"{anchor} {more}>{escape(words)}</text>'
