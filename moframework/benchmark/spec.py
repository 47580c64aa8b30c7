"""What a benchmark is made from: problems, solvers, seeds, what they share, and what is tuned."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from moframework.benchmark.executor import Executor
from moframework.benchmark.further import FurtherName
from moframework.benchmark.local import Local
from moframework.benchmark.statistics.spec import Statistics
from moframework.config import Component, config, option, unstructure
from moframework.config.options import OptionError
from moframework.engine.settings import Evaluation, Training
from moframework.errors import meant, nearest
from moframework.problem import Problem
from moframework.solvers.base import Solver
from moframework.spec.writing import write_yaml

__all__ = ["Benchmark", "ImportedEntry", "ProblemEntry", "SolverEntry", "Tuning", "part_name"]

# Each is a training, with a folder of its own; every one is checked before the first begins.
_CELLS, _CANDIDATES = 100_000, 1_000
PAIRS = 2_000
"""Of a problem and a solver, at most: what entries override is checked for each pair."""
_LABEL = 100  # it heads a column

_TUNABLE = ("training", "solver", "problem.augmentation")


def key_refused(key: str) -> str | None:
    """Why a grid or a range may not change a key of a run's spec: all but training, solver and augmentation, which
    only training sees, is the question and not the answer. None where it may.

    >>> key_refused("problem.seed")
    'cannot be tuned: a key begins with training., solver. or problem.augmentation, as in training.optimizer.lr'
    """
    if all(key.split(".")) and (key == _TUNABLE[2] or key.startswith(tuple(f"{name}." for name in _TUNABLE))):
        return None
    section, _, rest = key.partition(".")
    near = nearest(section, _TUNABLE[:2])
    hint = f"; did you mean '{near}.{rest}'?" if near and near != section and rest else ""
    first, second, whole = _TUNABLE
    return f"cannot be tuned: a key begins with {first}., {second}. or {whole}, as in training.optimizer.lr{hint}"


@config
class ProblemEntry:
    """One problem of a benchmark. Its name, or a mapping with `name`, is short for an entry with nothing else."""

    problem: Problem = option(help="what is solved, as in the spec of a run")
    label: str | None = option(None, help="what it is called in results; none: its name")
    training: dict[str, Any] = option(factory=dict, help="what is trained differently on this problem")
    evaluate: dict[str, Any] = option(factory=dict, help="what is evaluated differently on this problem")

    def __attrs_post_init__(self) -> None:
        _check_label(self.label)

    @property
    def title(self) -> str:
        """The label, or the problem's name."""
        return self.label or part_name(self.problem)


@config
class SolverEntry:
    """One contender. Its name, or a mapping with `name`, is short for an entry with nothing else."""

    solver: Solver = option(help="how it is solved, as in the spec of a run")
    label: str | None = option(None, help="what it is called in results; none: its name")
    training: dict[str, Any] = option(
        factory=dict, help="what is trained differently for this solver; it goes before what the problem says"
    )
    evaluate: dict[str, Any] = option(factory=dict, help="what is evaluated differently for this solver")

    def __attrs_post_init__(self) -> None:
        _check_label(self.label)

    @property
    def title(self) -> str:
        """The label, or the solver's name."""
        return self.label or part_name(self.solver)


@config
class ImportedEntry:
    """Results of another code, read from a file, as a further row of one problem's table. Nothing of it is run."""

    label: str = option(help="what it is called in results")
    file: Path = option(
        help="CSV, or JSON with a list of objects, with a row for each point: `TASK/loss`, `TASK/METRIC`, "
        "`TASK/preference`, `seed`, `split`, `contender`; or the name of one that is bundled with the specs"
    )
    source: str = option(help="where the numbers come from: an address, or a citation")
    license: str = option(help="under which license they are used, or `own`")
    commit: str | None = option(None, help="of the code that made them")
    settings: str | None = option(None, help="how they were made, as far as it is known")
    differs: str | None = option(
        None, help="in what they are not of this benchmark's problem, such as `another draw of the data`: the row is "
        "marked, and takes no part in tests",
    )  # fmt: skip
    problem: str | None = option(None, help="label or name of the problem whose table it joins; none: the only one")
    contender: str | None = option(None, help="which rows of the file count, by its column `contender`; none: all")
    continuous: bool = option(True, help="whether one model answers every preference: its points are joined by lines")

    def __attrs_post_init__(self) -> None:
        _check_label(self.label)
        if self.file.suffix.lower() not in (".csv", ".json"):
            raise OptionError(f"file must end in .csv or .json, but it is {self.file.name}", "file")
        for key in ("source", "license"):
            if not getattr(self, key).strip():
                raise OptionError(f"{key} must not be empty: results without their origin cannot be checked", key)


@config
class Tuning:
    """A small grid that every contender is tuned over, on each problem.

    All combinations are trained with one seed; the one with the largest hypervolume on validation is used for all
    seeds. Of equal ones the first wins; one that fails is out.
    """

    grid: dict[str, list[Any]] = option(help="values to try by key, such as `training.optimizer.lr: [1e-3, 2e-3]`")
    seed: int = option(0, ge=0, help="seed of the runs that decide; one of `seeds` costs nothing extra")
    by: str = option("losses", help="which validation hypervolume decides: losses, or a metric that all tasks have")

    def __attrs_post_init__(self) -> None:
        if not self.grid:
            raise OptionError("grid must name at least one key", "grid")
        for key, values in self.grid.items():
            refused = key_refused(key)
            if refused is not None:
                raise OptionError(f"'{key}' {refused}", "grid")
            if not values:
                raise OptionError(f"'{key}' has no values to try", "grid")
        if self.size > _CANDIDATES:
            raise OptionError(f"grid has {self.size:,} combinations, and {_CANDIDATES:,} are the most", "grid")

    @property
    def size(self) -> int:
        """How many combinations of values there are."""
        return math.prod(len(values) for values in self.grid.values())


@config
class Benchmark:
    """Solvers × problems × seeds, solved one by one under the rules of fairness that `moframework.benchmark` states.

    A cell's spec is `training` and `evaluate` from here, overlaid by what its problem's entry says, then by its
    solver's, then by the tuned values.

    >>> from moframework.benchmark.loading import load_benchmark
    >>> spec = {"problems": ["digits"], "solvers": ["palora", {"solver": "multipoint", "label": "K networks"}]}
    >>> [entry.title for entry in load_benchmark(spec).solvers]
    ['palora', 'K networks']
    """

    problems: tuple[ProblemEntry, ...] = option(help="what is solved: names, or entries with label and overrides")
    solvers: tuple[SolverEntry, ...] = option(help="the contenders: names, or entries with label and overrides")
    imported: tuple[ImportedEntry, ...] = option(
        (), help="results of other codes that join the tables, each with where it comes from"
    )
    seeds: tuple[int, ...] = option(
        (0, 1, 2),
        ge=0,
        help="every contender solves every problem once with each; in the options of a solver `{seed}` stands for it, "
        "`{problem}` for the problem's label and `{KEY}` for the value of a key of the grid, as in "
        "`members: runs/{problem}-{training.optimizer.lr}-{seed}`",
    )
    training: Training = option(factory=Training, help="budget, batches, optimizer, … of every cell")
    evaluate: Evaluation = option(factory=Evaluation, help="how the fronts of every cell are evaluated")
    report: Literal["test", "val"] = option(
        "test",
        help="split whose fronts the table and the pictures show; val for a study that chooses settings, so that the "
        "test split chooses nothing",
    )
    columns: tuple[FurtherName, ...] = option(
        (), help="further columns of the table: indicators of how the points of a front lie, raw, or in units of the "
        "problem's range as `normalized/spacing`",
    )  # fmt: skip
    statistics: Statistics | None = option(
        factory=Statistics, help="how contenders are compared beside means and deviations, where there are two seeds "
        "or two problems; null: not at all",
    )  # fmt: skip
    tune: Tuning | None = option(None, help="a small grid over which every contender is tuned; none: nothing is")
    executor: Executor = option(factory=Local, help="what runs the cells")
    name: str | None = option(None, help="name of the benchmark; none: the name of the spec file")

    def __attrs_post_init__(self) -> None:
        for key in ("problems", "solvers", "seeds"):
            if not getattr(self, key):
                raise OptionError(f"{key} must not be empty", key)
        position = _repeated(self.seeds)
        if position is not None:
            raise OptionError(f"seed {self.seeds[position]} is given twice", f"seeds.{position}")
        position = _repeated(self.columns)
        if position is not None:
            raise OptionError(f"column {self.columns[position]} is given twice", f"columns.{position}")
        for key in ("problems", "solvers"):
            titles = [entry.title for entry in getattr(self, key)]
            position = _repeated(titles)
            if position is not None:
                raise OptionError(f"two {key} are called '{titles[position]}'; give one a label", f"{key}.{position}")
        self._check_imported()
        if len(self.problems) * len(self.solvers) > PAIRS:
            raise OptionError(f"problems and solvers make more than {PAIRS:,} pairs; divide them among benchmarks")
        cells = len(self.problems) * len(self.solvers) * (len(self.seeds) + (self.tune.size if self.tune else 0))
        if cells > _CELLS:
            raise OptionError(f"seeds, problems, solvers and grid make {cells:,} runs, and {_CELLS:,} are the most")

    def _check_imported(self) -> None:
        titles = [entry.title for entry in self.problems]
        taken = [entry.title for entry in self.solvers]
        for position, entry in enumerate(self.imported):
            if entry.label in taken:
                raise OptionError(f"two contenders are called '{entry.label}'", f"imported.{position}.label")
            if entry.problem is None and len(titles) > 1:
                raise OptionError(
                    f"problem must say whose table it joins: {', '.join(titles)}", f"imported.{position}.problem"
                )
            if entry.problem is not None and entry.problem not in titles:
                raise OptionError(
                    f"there is no problem '{entry.problem}'; {meant(entry.problem, titles)}"
                    f"there are: {', '.join(titles)}",
                    f"imported.{position}.problem",
                )
            if (entry.problem, entry.label) in [(other.problem, other.label) for other in self.imported[:position]]:
                raise OptionError(f"'{entry.label}' is imported twice", f"imported.{position}.label")

    def to_yaml(self) -> str:
        """The benchmark with every option spelled out; loading it gives an equal one."""
        return write_yaml(unstructure(self))


def _repeated(values: Sequence[object]) -> int | None:
    """The first position whose value stands before it too."""
    seen = set()
    for position, value in enumerate(values):
        if value in seen:
            return position
        seen.add(value)
    return None


def _check_label(label: str | None) -> None:
    if label is not None and len(label) > _LABEL:
        raise OptionError(f"label must have at most {_LABEL} characters, but it has {len(label):,}", "label")
    if label is not None and not re.fullmatch(r"[^\s|/](?:[^\n\r\t|/]*[^\s|/])?", label):
        raise OptionError(
            f"label must be a line of text without | and /, and without blanks at its ends, but it is {label!r}",
            "label",
        )


def part_name(part: Component) -> str:
    """What a spec calls a part: its registered name, else the name of its class."""
    plain = unstructure(part)
    if "name" in plain:
        return str(plain["name"])
    return str(plain["python"]).rpartition(":")[2] if "python" in plain else type(part).__name__.lower()


def slug(title: str) -> str:
    """A name as that of a folder.

    >>> slug("single (linear)")
    'single-linear'
    """
    return re.sub(r"[^\w.+=-]+", "-", title).strip(".-") or "cell"
