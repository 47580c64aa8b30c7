"""The results as Markdown: a table for each problem, and what it takes to read it. Generated, never edited."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from moframework.benchmark.cells import chosen
from moframework.benchmark.column import Column
from moframework.benchmark.results import Group, Results, formatted, tables
from moframework.benchmark.statistics.page import to_section
from moframework.pareto.words import point_in_words

__all__ = ["formatted", "tables", "to_markdown"]

_MOST_LINES = 3  # that columns of one metric and several tasks have below a table


def to_markdown(
    results: Results, pictures: Mapping[str, str], analyzed: Mapping[str, str] = MappingProxyType({})
) -> str:
    """The whole page.

    Args:
        results: what was found.
        pictures: file of a problem's picture, relative to the page; problems without one are left out.
        analyzed: files of the pictures of the analysis, as of `statistics.plain.to_plain`.
    """
    name = results.benchmark.name or "Unnamed benchmark"
    lines = [
        "<!-- Made by `moframework benchmark`. Do not edit: run it again, with --report-only for this page alone. -->",
        f"# {name}",
        "",
    ]
    for group in results.groups:
        lines += [f"## {group.problem}", "", *_table(results, group), "", *_reading(results, group)]
        if group.problem in pictures:
            lines += ["", f"![Fronts on {group.problem}](<{pictures[group.problem]}>)"]
        lines.append("")
    if results.analysis is not None:
        lines += to_section(results.analysis, analyzed)
    lines += ["## How it was made", "", *(f"- {text}" for text in _making(results))]
    if results.failed:
        lines += ["", "## What failed", "", *(f"- {_one_line(text)}" for text in results.failed)]
    return "\n".join(lines) + "\n"


def _table(results: Results, group: Group) -> list[str]:
    headings, *rows = tables(results, group)
    aligned = ["---", *("---:" for _ in headings[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (headings, aligned, *rows)]


def _reading(results: Results, group: Group) -> list[str]:
    """Below a table: what its columns are."""
    seeds = results.benchmark.seeds
    listed = ", ".join(str(seed) for seed in seeds)
    if len(seeds) > 1:
        spread = f"Mean ± sample standard deviation over seeds ({listed}), each seed measured by itself."
    else:
        spread = f"One seed ({listed}), so nothing is known of the spread."
    split = {"test": "test", "val": "validation"}[results.benchmark.report]
    lines = [f"{spread} All numbers are of the {split} split."]
    if group.reference is not None:
        tasks = next(front.tasks for row in group.rows for front in row.fronts)
        point = point_in_words([float(f"{value:.4g}") for value in group.reference], tasks)
        origin = "" if group.stated else ", the componentwise worst of those of the runs, as the problem states none"
        lines.append(f"Hypervolume of losses: reference ({point}){origin}.")
    lines += [
        f"Hypervolume of {name}: {convention}." for name, convention in group.conventions.items() if name != "losses"
    ]
    lines += _scale(results, group)
    if any(row.tuned is not None and row.tuned.at_edge for row in group.rows):
        lines.append("† The chosen value is at the edge of the grid: a wider one might do better.")
    if any(row.apart for row in group.rows):
        lines.append(
            "‡ Not of the same problem, as told below: look at the order of magnitude, and rank nothing by it."
        )
    if group.left_out is not None:
        lines.append(group.left_out)
    return ["  \n".join(lines), "", *(f"- {text}" for text in _legend(group.shown))]


def _legend(columns: Sequence[Column]) -> list[str]:
    """What columns are, a line each; those of several tasks that differ in the task alone share one."""
    of_tasks: dict[str, list[Column]] = {}
    for column in columns:
        if column.task is not None:
            of_tasks.setdefault(column.key.rpartition("/")[2], []).append(column)
    lines = {}
    for column in columns:
        alike = of_tasks.get(column.key.rpartition("/")[2], []) if column.task is not None else []
        if len(alike) > _MOST_LINES:
            last = f"{alike[0].title} to {alike[-1].task}"
            lines[last] = column.help.replace(f" of {column.task} ", " of the task ", 1)
        elif not column.key.startswith("hypervolume/"):
            lines[column.title] = column.help
    return [f"{title}: {told}" for title, told in lines.items()]


def _scale(results: Results, group: Group) -> Iterator[str]:
    """The range of the problem, where a column of the spec is measured in it."""
    if group.scale is not None and any(name == "r2" or "/" in name for name in results.benchmark.columns):
        ideal, nadir = (", ".join(f"{value:.4g}" for value in point) for point in group.scale)
        yield f"Range of the problem: from the ideal ({ideal}) to the nadir ({nadir}) of all fronts of this table."


def _making(results: Results) -> Iterator[str]:
    benchmark = results.benchmark
    if benchmark.tune is None:
        yield "Nothing was tuned."
    else:
        tried = "; ".join(
            f"`{key}` over {', '.join(chosen({key: v})[0].partition('=')[2] for v in values)}"
            for key, values in benchmark.tune.grid.items()
        )
        yield (
            f"Tuned for every contender over the same grid, by validation hypervolume of {benchmark.tune.by} with seed "
            f"{benchmark.tune.seed}: {tried}. The choice serves all seeds."
        )
    of_test = "The test split chose nothing." if benchmark.report == "test" else "The test split plays no part."
    yield (
        f"{of_test} “one model's …” is the preference that is best on validation; every other "
        "column is of the whole front."
    )
    for title, sections in (
        *((entry.title, {"training": entry.training, "evaluate": entry.evaluate}) for entry in benchmark.problems),
        *((entry.title, {"training": entry.training, "evaluate": entry.evaluate}) for entry in benchmark.solvers),
    ):
        changes = [text for section, values in sections.items() for text in _flat(section, values)]
        if changes:
            yield f"{title} differs from the rest in {', '.join(f'`{text}`' for text in changes)}."
    yield from _origins(results)
    yield from _places(results)
    yield (
        f"Results made {results.environment['time']} with moframework "
        f"{results.environment['packages'].get('moframework', '?')}."
    )


def _origins(results: Results) -> Iterator[str]:
    """Where imported rows come from."""
    for entry in results.benchmark.imported:
        parts = {
            "from": entry.source,
            "commit": entry.commit,
            "file": entry.file.name,
            "license": entry.license,
            "settings": entry.settings,
            "differs": entry.differs,
        }
        told = "; ".join(f"{key}: {value}" for key, value in parts.items() if value is not None)
        yield f"{entry.label} is imported and was not run here. {told[:1].upper()}{told[1:]}."


def _flat(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner, item in value.items():
            yield from _flat(f"{key}.{inner}", item)
    else:
        yield chosen({"x": value})[0].replace("x", key, 1)


def _places(results: Results) -> Iterator[str]:
    """Where the finished cells ran; more than one place is said to make times incomparable."""
    places = {
        "processors": _distinct(results, "processor"),
        "devices": _distinct(results, "devices"),
        "threads a cell": _distinct(results, "threads"),
        "torch": _distinct(results, "torch"),
        "commits": _distinct(results, "git"),
    }
    told = [f"{what}: {', '.join(found)}" for what, found in places.items() if found]
    if told:
        yield "; ".join(told) + "."
    if any(len(places[what]) > 1 for what in ("processors", "devices", "threads a cell")):
        yield "The cells did not all run on the same machine with as many threads: **their times are not comparable**."
    if len(places["commits"]) > 1 or len(places["torch"]) > 1:
        yield "The cells were not all made by the same versions."


def _distinct(results: Results, key: str) -> list[str]:
    found = []
    for one in results.cells:
        value = one.environment.get(key)
        if key == "git" and value is not None:
            value = value["commit"][:12] + (" with changes" if value["dirty"] else "")
        if isinstance(value, list):
            value = " and ".join(value) or None
        if value is not None:
            found.append(str(value))
    return list(dict.fromkeys(found))


def _one_line(text: str) -> str:
    return " ".join(text.split())
