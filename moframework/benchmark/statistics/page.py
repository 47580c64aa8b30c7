"""An analysis as a section of `results.md`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from moframework.benchmark.column import Column
from moframework.benchmark.statistics.course import SHARE, time_to
from moframework.benchmark.statistics.found import Analysis, Attainment, Compared, Course, Profile, Ranking
from moframework.benchmark.statistics.interval import Interval
from moframework.benchmark.statistics.pairs import Pair
from moframework.benchmark.statistics.profile import share_within

__all__ = ["to_section"]

NONE = "–"
FACTORS = (1.0, 1.01, 1.05, 1.2)
"""Factors of the best value whose shares a page tells."""


def to_section(analysis: Analysis, pictures: Mapping[str, str]) -> list[str]:
    """The lines of the section; empty where there is nothing to say.

    Args:
        analysis: what was found.
        pictures: as of `plain.to_plain`.
    """
    parts: list[list[str]] = [list(_measure(one, analysis, pictures)) for one in analysis.measures]
    parts += [list(_attainment(one, pictures)) for one in analysis.attainments]
    parts += [list(_course(one, pictures)) for one in analysis.courses]
    if not parts and not analysis.notes:
        return []
    return ["## Statistics", "", *_bullets(analysis.notes), *(line for part in parts for line in part)]


def _measure(one: Compared, analysis: Analysis, pictures: Mapping[str, str]) -> Iterator[str]:
    options = analysis.options
    better = "larger" if one.column.upward else "smaller"
    yield from (f"### {one.column.title[:1].upper()}{one.column.title[1:]}, {better} is better", "")
    percent = f"{100 * options.confidence:g} %"
    yield from _table(
        ["problem", "contender", "seeds", "mean", "deviation", f"{percent} interval"],
        [
            [mean.problem, mean.solver, str(len(mean.values)), _number(mean.mean, one.column),
             _number(mean.std, one.column), _interval(mean.interval, one.column)]
            for mean in one.means
        ],
    )  # fmt: skip
    how = {
        "t": "Student's t over seeds, which takes their values as normal",
        "bootstrap": "the bootstrap over seeds (BCa, 9,999 draws)",
    }
    yield from (f"Intervals of the mean are by {how[options.interval]}. Equal values have none.", "")
    if one.ranking is not None:
        yield from _ranking(one.ranking, percent)
    if one.profile is not None:
        yield from _profile(one.profile)
    picture = pictures.get(f"ranks/{one.column.key}")
    if picture is not None:
        yield from (f"![Ranks of {one.column.title}](<{picture}>)", "")
    if one.pairs:
        yield from _pairs(one, analysis, percent)
    yield from _bullets(one.notes)


def _ranking(ranking: Ranking, percent: str) -> Iterator[str]:
    order = np.argsort(ranking.ranks, kind="stable")
    yield from _table(
        ["contender", f"mean rank over {ranking.problems} problems"],
        [[ranking.solvers[index], f"{ranking.ranks[index]:.2f}"] for index in order],
    )
    test = ranking.friedman
    if test is not None:
        said = f"Friedman's test of equal ranks: χ² = {test.statistic:.3g}, p = {_p(test.p)}"
        if test.f is not None and test.f_p is not None:
            said += f"; by Iman and Davenport F = {test.f:.3g}, p = {_p(test.f_p)}"
        else:
            said += "; all problems rank the contenders alike"
        told = "; ".join(", ".join(group) for group in ranking.groups) or "none"
        yield from (
            f"{said}. Nemenyi's critical difference at {percent}: {ranking.critical_difference:.3g}. "
            f"Groups that it does not tell apart: {told}.",
            "",
        )


def _profile(profile: Profile) -> Iterator[str]:
    shares = [share_within(profile.ratios, factor) for factor in FACTORS]
    headings = ["contender", *("best" if factor == 1 else f"within {factor:g} × the best" for factor in FACTORS)]
    yield from _table(
        headings,
        [
            [solver, *(f"{100 * share[place]:.0f} %" for share in shares)]
            for place, solver in enumerate(profile.solvers)
        ],
    )
    yield from (
        f"Performance profile (Dolan, Moré): the share of {len(profile.ratios)} problems and seeds on which a "
        "contender is the best, or within a factor of it. A seed that it did not finish counts against it.",
        "",
    )


def _pairs(one: Compared, analysis: Analysis, percent: str) -> Iterator[str]:
    over = one.blocks or "seeds"
    yield from _table(
        ["pair", "difference", f"{percent} interval", "better / equal / worse", "p", "p, Holm",
         "chance: first better / equal / second better"],
        [_pair(pair, one.column) for pair in one.pairs],
    )  # fmt: skip
    test = "Wilcoxon's signed-rank test, exact" if over == "problems" else "the paired t-test"
    rope = analysis.options.rope
    same = f"differences up to {rope:g} count as equal" if rope else "only equal numbers count as equal"
    yield from (
        f"Paired over {over}: the first minus the second; p by {test}, and corrected for {len(one.pairs)} "
        f"{'pair' if len(one.pairs) == 1 else 'pairs'}; chances by the Bayesian signed-rank test, where {same}.",
        "",
    )
    yield from _bullets([f"Of {pair.first} − {pair.second}: {pair.note}." for pair in one.pairs if pair.note])


def _pair(pair: Pair, column: Column) -> list[str]:
    chances = pair.chances
    return [
        f"{pair.first} − {pair.second}",
        _number(pair.difference, column),
        _interval(pair.interval, column),
        f"{pair.wins} / {pair.ties} / {pair.losses}",
        _p(pair.p),
        _p(pair.p_holm),
        f"{100 * chances.first:.0f} / {100 * chances.equal:.0f} / {100 * chances.second:.0f} %",
    ]


def _attainment(one: Attainment, pictures: Mapping[str, str]) -> Iterator[str]:
    yield from (f"### What is attained on {one.problem}", "")
    if one.rows:
        yield from _table(
            ["contender", "seeds", "hypervolume that all seeds attain", "half of them", "one"],
            [
                [row.solver, str(len(row.fronts)), *(_volume(row.hypervolumes[place]) for place in
                 (0, len(row.levels) // 2, -1))]
                for row in one.rows
            ],
        )  # fmt: skip
        yield from (
            "Empirical attainment surfaces of the losses: what is below the surface of a level is reached by that many "
            "seeds. They are no fronts of one model.",
            "",
        )
    picture = pictures.get(f"attainment/{one.problem}")
    if picture is not None:
        yield from (f"![Attainment surfaces on {one.problem}](<{picture}>)", "")
    yield from _bullets(one.notes)


def _course(one: Course, pictures: Mapping[str, str]) -> Iterator[str]:
    yield from (f"### Hypervolume over time on {one.problem}", "")
    if one.target is not None:
        rows = []
        for solver, trainings in one.trainings:
            columns = []
            for processor in (True, False):
                times = [time_to(training, one.target, processor=processor) for training in trainings]
                known = [time for time in times if time is not None]
                columns.append(f"{np.mean(known):.1f}" if known else NONE)
            reached = sum(time_to(training, one.target, processor=True) is not None for training in trainings)
            rows.append([solver, f"{reached} of {len(trainings)}", *columns])
        yield from _table(["contender", "seeds that get there", "processor, s", "training, s"], rows)
        yield from (
            f"Seconds of training steps until a validation has {100 * SHARE:g} % of the largest validation hypervolume "
            f"of losses of all ({one.target:.4g}), mean over the seeds that get there.",
            "",
        )
    picture = pictures.get(f"course/{one.problem}")
    if picture is not None:
        yield from (f"![Hypervolume over time on {one.problem}](<{picture}>)", "")
    yield from _bullets(one.notes)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    text = sum(heading in ("problem", "contender", "pair") for heading in headings)
    aligned = [*["---"] * text, *["---:"] * (len(headings) - text)]
    return [*(f"| {' | '.join(cells)} |" for cells in (headings, aligned, *rows)), ""]


def _bullets(texts: Sequence[str]) -> list[str]:
    return [*(f"- {text}" for text in texts), *([""] if texts else [])]


def _number(value: float | None, column: Column) -> str:
    if value is None:
        return NONE
    scale, unit = (100.0, " %") if column.percent else (1.0, "")
    return f"{value * scale:,.{column.digits}f}{unit}"


def _interval(interval: Interval, column: Column) -> str:
    if interval.low is None or interval.high is None:
        return f"{NONE} ({interval.note})"
    return f"{_number(interval.low, column)} to {_number(interval.high, column)}"


def _volume(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"
