"""What the command line prints on stdout: fronts and lists as tables, and the end of a run."""

from __future__ import annotations

import math
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

if TYPE_CHECKING:  # lists are printed without the time that numpy and its kin take to import
    import numpy as np
    from numpy.typing import NDArray

    from moframework.benchmark.results import Results
    from moframework.cli.doctor import Examination
    from moframework.pareto.front import Front

__all__ = ["front_table", "output", "print_examination", "print_front", "print_results", "print_run", "table"]

SHORT_TABLE = 11
WIDEST_TABLE = 160  # columns that one looks along, on a terminal that has more
UNLIMITED = 100_000
SENTENCES = 100  # columns of a table of sentences
_TASK = "task"  # heading of a table that has a row a task
_GAP = 4  # columns of a table that are in no cell
_BETWEEN_WORDS: Any = {"break_long_words": False, "break_on_hyphens": False, "subsequent_indent": "  "}


def output() -> Console:
    """The console on stdout. Where that is no terminal, lines are neither folded nor cut, whatever FORCE_COLOR, TERM
    and COLUMNS say: a program reads them, or one who scrolls. Nor are they filled up with blanks."""
    if sys.stdout.isatty():
        return Console(highlight=False, markup=False)
    # Rich takes a width for what it is only beside a height: else TERM=dumb with FORCE_COLOR has 80 columns.
    file = cast("IO[str]", _Unpadded(sys.stdout))
    return Console(file=file, highlight=False, markup=False, width=UNLIMITED, height=UNLIMITED)


class _Unpadded:
    """A text file that gets no blanks at the ends of lines, by which tables make all their cells as wide as the widest,
    and no rules below headings that are wider than one looks along."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Write a text of whole lines; how many characters were given."""
        unpadded = re.sub(r"[ ]+((?:\x1b\[[\d;]*m)*)$", r"\1", text, flags=re.MULTILINE)
        self._file.write(re.sub(rf"(─{{{WIDEST_TABLE}}})─+", r"\1", unpadded))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def table(headers: Iterable[str], *, right: Iterable[str] = ()) -> Table:
    """An empty table with these column headers; those in `right` hold numbers and are set flush right."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    numbers = set(right)
    for header in headers:
        made.add_column(header, justify="right" if header in numbers else "left", overflow="fold")
    return made


def print_run(console: Console, path: Path, front: Front) -> None:
    """What a finished run has found: its test front in short, where it lies, and what to do next."""
    print_front(console, front, short=True)
    for what, text in (
        ("run folder", f"{path}"),
        ("report", f"{path / 'report.txt'}"),
        ("picture", f"{path / 'front.png'}"),
        ("every point", f"moframework front {path} --json"),
        ("how it trained", f"tensorboard --logdir {path}"),
    ):
        console.print(f"{what:<15} {text}", soft_wrap=True)


def print_examination(console: Console, examination: Examination) -> None:
    """What was found of an installation, section by section; what is worth knowing, and what is wrong.

    Cells are folded between words, since they are sentences and not numbers, also where the output is no terminal. What
    is wrong is a line each, as long as it is: it ends with a command to be copied.
    """
    for title, found in examination.sections.items():
        rows = table((title, "found"))
        left = max(map(len, (title, *(one.what for one in found))))
        width = max(SENTENCES - left - _GAP, SENTENCES // 2)
        for one in found:
            told = [one.found] if one.hint is None else [one.found, f"→ {one.hint}"]
            rows.add_row(one.what, "\n".join(textwrap.fill(text, width, **_BETWEEN_WORDS) for text in told))
        console.print(rows)
    problems = examination.problems
    lines = (
        [f"Wrong: {len(problems)}", *(f"- {problem}" for problem in problems)] if problems else ["Nothing is wrong."]
    )
    console.print("\n".join(lines), soft_wrap=True)


def print_results(console: Console, folder: Path, results: Results) -> None:
    """The tables of a benchmark, a solver a column since there are more measures than solvers, and where the files
    lie."""
    from moframework.benchmark.markdown import tables
    from moframework.benchmark.saving import any_front, figure_name

    for group in results.groups:
        headings, *rows = tables(results, group)
        made = table(["", *(row[0] for row in rows)], right=[row[0] for row in rows])
        for position, heading in enumerate(headings[1:], start=1):
            made.add_row(heading, *(row[position] for row in rows))
        console.print(group.problem)
        console.print(made)
        if group.left_out is not None:
            console.print(group.left_out, soft_wrap=True)
    files = [("table", "results.md"), ("everything", "results.json")]
    files += [("picture", figure_name(results, group)) for group in results.groups if any_front(group)]
    for what, name in files:
        console.print(f"{what:<15} {folder / name}", soft_wrap=True)


def print_front(console: Console, front: Front, *, short: bool, change: NDArray[np.float64] | None = None) -> None:
    """A front as a table, with its indicators below. `short` shows at most eleven points, evenly picked; `change` is
    Δm % of each point (n,), where it is known."""
    from moframework.pareto.words import point_in_words, ranks_in_words

    n = len(front.losses)
    rows = range(n)
    picked = [round(i * (n - 1) / (SHORT_TABLE - 1)) for i in range(SHORT_TABLE)] if short and n > SHORT_TABLE else rows
    where = f"the {front.split} split" if front.split in ("train", "val", "test") else front.split  # else a file
    console.print(f"front on {where}, {n} point{'' if n == 1 else 's'}")
    made = front_table(console, front, picked, change, short=short)
    console.print(made)
    of_points = made.columns[0].header != _TASK  # else of the best along the whole front
    kept = int(front.nondominated().sum())
    ranks = ranks_in_words(front.controllability().tolist(), front.tasks)
    lines = [
        f"{kept} of {n} points are non-dominated"
        + (f"; {len(picked)} are shown" if of_points and len(picked) < n else ""),
        f"rank correlation of preference and loss (-1 is ideal): {ranks}",
    ]
    if change is not None and not all(math.isnan(value) for value in change):
        best = min((value, row) for row, value in enumerate(change) if not math.isnan(value))
        weights = point_in_words(front.preferences[best[1]].tolist(), front.tasks)
        lines.append(f"Δm against single-task networks (below 0 is better): best {best[0]:.2f} % at λ = ({weights})")
    for name, found in front.hypervolumes().items():
        point = point_in_words(found["reference"], front.tasks)
        lines.append(f"hypervolume of {name}: {found['value']:.4f} (reference ({point}); {found['convention']})")
    console.print("\n".join(lines), soft_wrap=True)


def front_table(
    console: Console,
    front: Front,
    rows: Iterable[int],
    change: NDArray[np.float64] | None = None,
    *,
    short: bool = False,
) -> Table:
    """Preferences, losses, metrics, Δm % where it is given, and a mark for non-dominated points; one row for each
    point in `rows`.

    Where that is wider than the terminal, the metrics are left out; where it is still too wide, the table has one row
    for each task instead, with its best values over the whole front. Off a terminal it is as wide as it needs,
    unless it is to be `short`.
    """
    widest = console.width if console.width >= UNLIMITED and not short else min(console.width, WIDEST_TABLE)
    for metrics in (list(front.metrics), []):
        made = _point_table(front, rows, metrics, change)
        measured = Measurement.get(console, console.options.update(max_width=UNLIMITED), made)
        if measured.maximum <= widest:
            return made
    return _task_table(front)


def _point_table(
    front: Front, rows: Iterable[int], metrics: Sequence[str], change: NDArray[np.float64] | None
) -> Table:
    numbers = [f"λ\n{task}" for task in front.tasks] + [f"loss\n{task}" for task in front.tasks]
    numbers += ["{1}\n{0}".format(*name.split("/", 1)) for name in metrics]
    numbers += [] if change is None else ["Δm\n%"]
    made = table([*numbers, "non-\ndominated"], right=numbers)
    kept = front.nondominated()
    for row in rows:
        cells = [f"{value:.2f}" for value in front.preferences[row]]
        cells += [f"{value:.4f}" for value in front.losses[row]]
        cells += [f"{front.metrics[name][row]:.4f}" for name in metrics]
        cells += [] if change is None else [f"{change[row]:.2f}"]
        made.add_row(*cells, "yes" if kept[row] else "no")
    return made


def _task_table(front: Front) -> Table:
    metrics = list(dict.fromkeys(name.split("/", 1)[1] for name in front.metrics))
    numbers = ["lowest loss", "highest loss", *(f"best {metric}" for metric in metrics)]
    made = table([_TASK, *numbers], right=numbers)
    for column, task in enumerate(front.tasks):
        cells = [f"{front.losses[:, column].min():.4f}", f"{front.losses[:, column].max():.4f}"]
        for metric in metrics:
            values = front.metrics.get(f"{task}/{metric}")
            if values is None:
                cells.append("")
            else:
                best = values.max() if front.higher_is_better[f"{task}/{metric}"] else values.min()
                cells.append(f"{best:.4f}")
        made.add_row(task, *cells)
    return made
