"""Pictures of a study: its course, and what each option does."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from moframework.pareto.plots import empty_figure, fit_title, tidy
from moframework.tuning.results import StudyResults
from moframework.tuning.trial import Trial
from moframework.tuning.words import short_keys, short_parts

__all__ = ["history_figure", "ranges_figure"]

_PANEL = (3.4, 3.0)  # inches
_MOST_COLUMNS = 3
_BEST, _DONE, _PALE, _BAD = "#d62728", "#1f77b4", "0.6", "black"


def history_figure(results: StudyResults) -> Figure:
    """Validation hypervolume of every trial by its number, with the best so far; pruned ones at the last value that is
    known, and a mark at the bottom for each that failed or whose numbers were not finite."""
    figure = empty_figure()
    figure.set_size_inches(7.4, 4.2)
    axes = figure.subplots()
    done = [one for one in results.trials if one.hypervolume is not None]
    pruned = [one for one in results.trials if one.state == "pruned" and one.validations]
    without = [one for one in results.trials if one not in done and one not in pruned and one.state != "unfinished"]
    axes.plot(*_points(done), "o", color=_DONE, markersize=5, label="trial")
    if done:
        numbers, values = _points(done)
        axes.step(numbers, np.maximum.accumulate(values), where="post", color=_BEST, linewidth=1.4, label="best so far")
    if pruned:
        axes.plot(*_points(pruned), "v", color=_PALE, markersize=5, label="pruned, at its last validation")
    if results.own is not None and results.own.hypervolume is not None:
        axes.axhline(results.own.hypervolume, color="0.4", linewidth=1, linestyle="--", label="the spec's own values")
    if without:
        places = [one.number for one in without]
        axes.plot(places, np.full(len(places), 0.015), "x", color=_BAD, markersize=6, clip_on=False,
                  transform=axes.get_xaxis_transform(), label="failed, or not finite")  # fmt: skip
    axes.set_xlabel("trial")
    axes.set_ylabel(f"validation hypervolume of {results.study.tune.by}  (↑ better)")
    axes.set_xlim(-0.5, max(len(results.trials) - 0.5, 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=9)
    tidy(axes)
    figure.suptitle(f"{results.study.name or 'study'} · {len(results.trials)} trials", fontsize=12)
    fit_title(figure)
    return figure


def ranges_figure(results: StudyResults) -> Figure:
    """A panel for each option: its value in every trial against the validation hypervolume, the best one marked; the
    title tells its importance, where that is known. Options come by importance."""
    known, ranges = results.importances or {}, results.study.tune.ranges
    keys, short = sorted(ranges, key=lambda key: -known.get(key, 0.0)), short_keys(ranges)
    columns = min(len(keys), _MOST_COLUMNS)
    rows = -(-len(keys) // columns)
    figure = empty_figure()
    figure.set_size_inches(_PANEL[0] * columns + 0.6, _PANEL[1] * rows + 0.6)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for place, key in enumerate(keys):
        axes = panels[place // columns][place % columns]
        _panel(axes, results, key)
        share = f"  ·  importance {100 * known[key]:.0f} %" if key in known else ""
        axes.set_title(f"{short[key]}{share}", loc="left", fontsize=10)
        if place % columns == 0:
            axes.set_ylabel("validation hypervolume")
    for axes in panels.flat[len(keys) :]:
        axes.set_visible(False)
    figure.suptitle(f"{results.study.name or 'study'} · what the values do", fontsize=12)
    fit_title(figure)
    return figure


def _panel(axes: Axes, results: StudyResults, key: str) -> None:
    one = results.study.tune.ranges[key]
    done = [trial for trial in results.trials if trial.hypervolume is not None]
    values: list[Any] = [trial.choice[key] for trial in done]
    if one.choices is not None:
        texts, written = short_parts(one.choices), [_written(value) for value in one.choices]
        values = [written.index(_written(value)) for value in values]
        lines = [text.replace(", ", ",\n") for text in texts]
        axes.set_xticks(range(len(lines)), lines, fontsize=8 if max(map(len, texts)) <= 8 else 7)
        if max(map(len, texts)) > 8:
            axes.tick_params(axis="x", labelrotation=40)
            for label in axes.get_xticklabels():
                label.set(horizontalalignment="right", rotation_mode="anchor")
        axes.set_xlim(-0.5, len(lines) - 0.5)
    elif one.kind in ("log", "log_integers"):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    heights = [trial.hypervolume or 0.0 for trial in done]
    axes.plot(values, heights, "o", color=_DONE, markersize=4, alpha=0.7)
    if results.best is not None:
        place = done.index(results.best)
        axes.plot([values[place]], [heights[place]], "o", color=_BEST, markersize=7)
    axes.set_xlabel(key, fontsize=8)
    tidy(axes)


def _points(trials: list[Trial]) -> tuple[list[int], list[float]]:
    """Numbers of trials and their hypervolumes; of those that are pruned, the last that is known."""
    values = [one.validations[max(one.validations)] if one.hypervolume is None else one.hypervolume for one in trials]
    return [one.number for one in trials], values


def _written(value: Any) -> str:
    """A choice, the same for the same options in any order, as the journal may have them."""
    return json.dumps(value, sort_keys=True)
