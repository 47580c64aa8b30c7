"""The results of a benchmark as files: JSON with everything, the table as CSV, Markdown, LaTeX and HTML, a picture a
problem."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from moframework.benchmark.cells import Cell
from moframework.benchmark.figure import comparison_figure
from moframework.benchmark.html import problem_page, to_html
from moframework.benchmark.imported import located
from moframework.benchmark.latex import to_latex
from moframework.benchmark.markdown import to_markdown
from moframework.benchmark.results import CellResult, Group, Results, Row
from moframework.benchmark.spec import ImportedEntry
from moframework.benchmark.statistics.figures import attainment_figure, course_figure, ranking_figure
from moframework.benchmark.statistics.plain import to_plain
from moframework.config import unstructure
from moframework.errors import RunError
from moframework.io.atomic import atomic_write, write_text
from moframework.io.sealed import FORMAT, read_json, seal_json

__all__ = ["figure_name", "save", "to_csv", "to_json"]


def save(results: Results, folder: Path) -> tuple[Path, ...]:
    """Write `results.json` (with a checksum as its last key), `results.csv`, `results.md`, `results.tex`,
    `results.html`, a page `fronts-PROBLEM.html` to look around in for each problem, and pictures into `folder`:
    `fronts-PROBLEM.png`, and where statistics are asked for and defined `ranks-KEY.png`, `attainment-PROBLEM.png` and
    `course-PROBLEM.png`.

    Pictures and pages of earlier results in the folder that are not made again are removed.

    Returns:
        the files written. A problem of which nothing is finished has no picture and no page.
    """
    earlier = _shown_by(folder / "results.json")
    analyzed = _pictures(results)
    for name, figure in analyzed.values():
        with atomic_write(folder / name) as partial:
            figure.savefig(partial, dpi=130)
    names = {what: name for what, (name, _) in analyzed.items()}
    pictures = {group.problem: figure_name(results, group) for group in results.groups if any_front(group)}
    texts = {
        "results.json": seal_json(to_json(results, folder, names)),
        "results.csv": to_csv(results),
        "results.md": to_markdown(results, pictures, names),
        "results.tex": to_latex(results),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    for group in results.groups:
        if group.problem in pictures:
            fronts = {row.solver: row.fronts for row in group.rows if row.fronts}
            finite = {row.solver for row in group.rows if not row.continuous}
            with atomic_write(folder / pictures[group.problem]) as partial:
                comparison_figure(fronts, finite=finite, title=group.problem).savefig(partial, dpi=130)
    pages = {group.problem: problem_page(group) for group in results.groups}
    links = {problem: f"{Path(pictures[problem]).stem}.html" for problem, text in pages.items() if text is not None}
    page = to_html(results.benchmark.name or "Unnamed benchmark", texts["results.md"], folder, links)
    shown = {"results.html": page, **{links[problem]: text for problem, text in pages.items() if text is not None}}
    for name, text in shown.items():
        write_text(folder / name, text)
    written = tuple(folder / name for name in (*texts, *shown, *pictures.values(), *names.values()))
    for path in {folder / name for name in earlier} - {*written}:
        path.unlink(missing_ok=True)
    return written


def _shown_by(path: Path) -> set[str]:
    """The pictures and pages of the results that a file holds: what it names and no other, since a folder may hold
    files of people's own."""
    try:
        found = read_json(path, advice="")
    except RunError:  # none, damaged, or of a newer version
        return set()
    pictures = [one.get("figure") for one in found.get("problems") or ()]
    pages = [f"{Path(name).stem}.html" for name in pictures if name]
    statistics = found.get("statistics") or {}
    analyzed = [one.get("figure") for key in ("measures", "attainment", "courses") for one in statistics.get(key) or ()]
    return {name for name in (*pictures, *pages, *analyzed) if name and Path(name).name == name}


def _pictures(results: Results) -> dict[str, tuple[str, Figure]]:
    """The pictures of the analysis by what they show, each with its file."""
    analysis = results.analysis
    if analysis is None:
        return {}
    looks = list(dict.fromkeys(row.solver for group in results.groups for row in group.rows))
    own: dict[str, Figure | None] = {
        **{f"ranks/{one.column.key}": ranking_figure(one, looks) for one in analysis.measures},
        **{f"attainment/{one.problem}": attainment_figure(one, looks) for one in analysis.attainments},
        **{f"course/{one.problem}": course_figure(one, looks) for one in analysis.courses},
    }
    slugs = [_slug(what) for what in own]
    names = [slug if slugs.count(slug) == 1 else f"{slug}-{place}" for place, slug in enumerate(slugs)]
    return {
        what: (f"{name}.png", figure)
        for name, (what, figure) in zip(names, own.items(), strict=True)
        if figure is not None
    }


def any_front(group: Group) -> bool:
    """Whether a cell of the problem is done."""
    return any(row.fronts for row in group.rows)


def figure_name(results: Results, group: Group) -> str:
    """The file of a problem's picture: `fronts-digits.png`."""
    slugs = [_slug(other.problem) for other in results.groups]
    position = results.groups.index(group)
    slug = slugs[position]
    return f"fronts-{slug}.png" if slug and slugs.count(slug) == 1 else f"fronts-{slug}-{position}.png"


def _slug(text: str) -> str:
    return re.sub(r"[^\w.+=-]+", "-", text).strip("-.")


def to_csv(results: Results) -> str:
    """The table as CSV: a row for each problem and solver, and `KEY_mean`, `KEY_std` for every measure; empty where it
    is not defined."""
    keys = list(dict.fromkeys(column.key for group in results.groups for column in group.columns))
    grid = [] if results.benchmark.tune is None else list(results.benchmark.tune.grid)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    statistics = [f"{key}_{what}" for key in keys for what in ("mean", "std")]
    writer.writerow(["problem", "solver", "seeds_done", "seeds", *grid, *statistics])
    for group in results.groups:
        for row in group.rows:
            choice = (row.tuned.choice if row.tuned is not None else None) or {}
            numbers = [value for key in keys for value in (row.statistic(key).mean, row.statistic(key).std)]
            writer.writerow([
                group.problem, row.solver, len(row.done), len(results.benchmark.seeds),
                *(choice.get(key, "") for key in grid), *("" if value is None else repr(value) for value in numbers),
            ])  # fmt: skip
    return file.getvalue()


def to_json(results: Results, folder: Path, pictures: Mapping[str, str]) -> str:
    """Everything as JSON: `format` (its number), `benchmark` (expanded spec), `environment` (of the process that wrote
    it: machine, versions, commit, date), `problems` (columns, rows with mean, standard deviation and the value of each
    seed, what was tuned), `statistics` (with the files `pictures` by what they show), `cells` (state, folder below
    `folder`, measures, where it ran) and `failed`. A number that is not defined is null. The schema `results` describes
    each key."""
    plain = {
        "format": FORMAT,
        "benchmark": unstructure(results.benchmark),
        "environment": results.environment,
        "problems": [_group(results, group) for group in results.groups],
        "statistics": None if results.analysis is None else to_plain(results.analysis, pictures),
        "cells": [_cell(one, one.cell, folder) for one in results.cells if one.cell is not None],
        "failed": list(results.failed),
    }
    return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _group(results: Results, group: Group) -> dict[str, Any]:
    return {
        "problem": group.problem,
        "loss_reference": None if group.reference is None else list(group.reference),
        "loss_reference_is_stated": group.stated,
        "range": None if group.scale is None else {"ideal": list(group.scale[0]), "nadir": list(group.scale[1])},
        "hypervolumes": dict(group.conventions),
        "columns": [
            {"key": one.key, "title": one.title, "help": one.help, "upward": one.upward} for one in group.columns
        ],
        "rows": [_row(group, row) for row in group.rows],
        "figure": figure_name(results, group) if any_front(group) else None,
    }


def _row(group: Group, row: Row) -> dict[str, Any]:
    measures = {}
    for column in group.columns:
        found = row.statistic(column.key)
        measures[column.key] = {"mean": found.mean, "std": found.std, "values": list(found.values)}
    tuned = None
    if row.tuned is not None:
        tuned = {
            "chosen": None if row.tuned.choice is None else dict(row.tuned.choice),
            "at_edge": list(row.tuned.at_edge),
            "trials": [
                {"choice": dict(one.choice), "validation_hypervolume": one.hypervolume, "state": one.state,
                 "message": one.message}
                for one in row.tuned.trials
            ],
        }  # fmt: skip
    return {
        "solver": row.solver,
        "continuous": row.continuous,
        "seeds": [one.seed for one in row.done],
        "measures": measures,
        "tuned": tuned,
        "message": row.message,
        "imported": None if row.imported is None else _origin(row.imported),
    }


def _origin(entry: ImportedEntry) -> dict[str, Any]:
    return {
        "source": entry.source,
        "commit": entry.commit,
        "license": entry.license,
        "settings": entry.settings,
        "differs": entry.differs,
        "file": entry.file.name,
        "sha256": hashlib.sha256(located(entry).read_bytes()).hexdigest(),
    }


def _cell(one: CellResult, cell: Cell, folder: Path) -> dict[str, Any]:
    return {
        "problem": cell.problem,
        "solver": cell.solver,
        "seed": cell.seed,
        "choice": dict(cell.choice),
        "state": one.state,
        "message": one.message,
        "folder": cell.folder.relative_to(folder).as_posix(),
        "measures": dict(one.measures),
        "environment": dict(one.environment),
    }
