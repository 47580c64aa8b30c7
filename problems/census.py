"""`census`: Census-Income (KDD), binary facts about a person told from the rest of the questionnaire."""

from __future__ import annotations

import functools
from collections.abc import Collection
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from moframework.backbones.base import Backbone
from moframework.backbones.mlp import MLP
from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.data import SPLITS, Split, TensorData, check_split
from moframework.data.cache import cached_tensors, data_folder, fingerprint
from moframework.data.table import Column, Standardization, one_hot, read_columns
from moframework.errors import DataError
from moframework.losses import CrossEntropy
from moframework.metrics import Accuracy
from moframework.problem import Problem
from moframework.problem.task import Task

__all__ = ["Census", "census_inputs", "census_tensors", "census_width"]

TaskName = Literal["income", "age", "education", "never_married"]

_CONSTRUCTION = 1  # part of the cache's key: raise it whenever the same options give other tensors

# The columns of the files, in their order.
_COLUMNS = (
    *("age", "class_of_worker", "industry_code", "occupation_code", "education", "wage_per_hour"),
    *("enrolled_last_week", "marital_status", "major_industry", "major_occupation", "race", "hispanic_origin"),
    *("sex", "union_member", "reason_for_unemployment", "employment_status", "capital_gains", "capital_losses"),
    *("dividends", "tax_filer_status", "previous_region", "previous_state", "household_detail", "household_summary"),
    *("instance_weight", "migration_msa", "migration_region", "migration_within_region", "same_house_a_year_ago"),
    *("previous_sunbelt", "employees", "parents_present", "father_born_in", "mother_born_in", "born_in"),
    *("citizenship", "own_business", "veterans_questionnaire", "veterans_benefits", "weeks_worked", "year", "income"),
)
_NUMERIC = (
    *("age", "wage_per_hour", "dividends", "capital_gains", "capital_losses", "weeks_worked", "instance_weight"),
)
# As in the authors' code these say nothing of interest: three columns that are half "?" and the year of the survey.
_LEFT_OUT = ("migration_msa", "migration_region", "migration_within_region", "year")
_CATEGORICAL = tuple(name for name in _COLUMNS if name not in (*_NUMERIC, *_LEFT_OUT, "sex"))
# Likewise the few persons of this kind: the test file has none.
_RARE = ("household_detail", "Grandchild <18 ever marr not in subfamily")

_COLUMN_OF: dict[str, str] = {
    "income": "income",
    "age": "age",
    "education": "education",
    "never_married": "marital_status",
}
_COLLEGE = ("Some college", "Associates", "Bachelors", "Masters", "Prof school", "Doctorate")
_FOLDERS = ("census", "census-income", "census-income-mld", "census+income+kdd", ".")
_FILES = ("census-income.data", "census-income.test")


@config
class Census(Problem):
    """Tell binary facts about a person (age, education, income, marital status) from 33 to 37 answers to a census.

    **Source.** Census-Income (KDD): 299,285 persons of the Current Population Surveys of 1994 and 1995 of the U.S.
    Census Bureau (T. Lane, R. Kohavi, UCI Machine Learning Repository, 2000, doi:10.24432/C5N30T). **License.**
    Creative Commons Attribution 4.0. **How to obtain.** `census-income.data` and `census-income.test` from
    https://archive.ics.uci.edu/dataset/117/census+income+kdd, put into `root/census`, plain or as .gz; the archive's
    own folders will do too.

    **Tasks.** Cross-entropy over two classes, and accuracy: `age` (40 or older), `education` (some college or more),
    `income` (above 50,000 dollars), `never_married`. The column that a task is made from leaves the input; those of
    tasks that are not chosen stay.

    **Construction**, as the authors of PaMaL have it: seven numbers are standardized, sex is one 0/1 input, everything
    else (codes of industry and occupation too) is one-hot; the year and three migration columns are left out, and so
    are the persons of one household status that the test file does not know. That makes 468 inputs for age and
    education, 477 for income and never married, 483 for income and age. A fifth of `census-income.data` validates,
    drawn by `seed`; `census-income.test` is the test. Two things differ from the authors' code: numbers are
    standardized by the training rows alone, and a master's degree counts as college, where a misspelling ("Maters")
    keeps theirs from counting it: `masters: false` does as they do.

    The documentation of the data says that the instance weight, the number of people a row stands for, should not be
    used by classifiers; the authors use it all the same. `instance_weight: false` leaves it out.

    **Reference point** 1 for each task: guessing costs ln 2 = 0.69 nats.

    The encoded table (30 MB) is made once, in about 10 seconds, and cached: see `moframework.data.cache`.
    """

    root: Path | None = option(
        None,
        help="folder that has census/census-income.data; none: MOFRAMEWORK_DATA, else a folder in the user's cache",
    )
    # On the interface this name is the tasks themselves; here it says which.
    _tasks: tuple[TaskName, ...] = option(("age", "education"), help="what is told of a person, in this order")
    masters: bool = option(True, help="a master's degree counts as college; false: it does not, as in PaMaL's code")
    instance_weight: bool = option(True, help="the weight of a row in the survey is among the inputs")
    seed: int = option(0, ge=0, lt=2**32, help="of the draw of the rows that validate")

    def __attrs_post_init__(self) -> None:
        if not self._tasks:
            raise OptionError("tasks must name at least one task", "tasks")
        for name in self._tasks:
            if self._tasks.count(name) > 1:
                raise OptionError(f"tasks names '{name}' twice", "tasks")

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The chosen ones."""
        return tuple(Task(name=name, loss=CrossEntropy(), metrics=(Accuracy(),), size=2) for name in self._tasks)

    @property
    def network(self) -> Backbone:
        """One shared hidden layer of 256: 121,092 parameters for age and education."""
        return MLP(hidden=(256,))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(468,) for age and education; a few more or less for other tasks."""
        return (census_width(self.root, self.seed, self._hidden),)

    @property
    def reference(self) -> tuple[float, ...]:
        """1 for each task."""
        return (1.0,) * len(self._tasks)

    def data(self, split: Split) -> TensorData:
        """Answers (n, width), float32, and each task's classes (n,), int64 in {0, 1}."""
        tensors = census_tensors(self.root, self.seed, check_split(split))
        keys = {name: "college" if name == "education" and self.masters else name for name in self._tasks}
        targets: dict[str, Tensor] = {name: tensors[f"labels/{key}"].long() for name, key in keys.items()}
        return TensorData(census_inputs(tensors, self._hidden), targets)

    @property
    def _hidden(self) -> tuple[str, ...]:
        """Columns that are no inputs."""
        return (*(_COLUMN_OF[name] for name in self._tasks), *(() if self.instance_weight else ("instance_weight",)))


def census_tensors(root: Path | None, seed: int, split: Split) -> dict[str, Tensor]:
    """The encoded table of one split.

    Args:
        root, seed: as the options of `Census`.
        split: train, val or test.

    Returns:
        `numbers` (n, 7) standardized, float32; `codes` (n, c) categories by position, −1 where unknown, int16; `sizes`
        (c,) categories of each of those columns; `sex` (n,) 1 for men, uint8; `labels/…` (n,) uint8, for income, age,
        education (without master's degrees), college (with them) and never_married.

    Raises:
        DataError: a file is missing or not what it should be.
    """
    return _tensors(root, seed, f"{split}/")


def census_inputs(tensors: dict[str, Tensor], leave_out: Collection[str]) -> Tensor:
    """The inputs (n, width), float32, from what `census_tensors` returns: all columns but those left out, by name."""
    numbers = [position for position, name in enumerate(_NUMERIC) if name not in leave_out]
    chosen = [position for position, name in enumerate(_CATEGORICAL) if name not in leave_out]
    sizes = tensors["sizes"][chosen].tolist()
    parts = [tensors["numbers"][:, numbers], one_hot(tensors["codes"][:, chosen], sizes)]
    if "sex" not in leave_out:
        parts.append(tensors["sex"].float().unsqueeze(1))
    return torch.cat(parts, dim=1)


def census_width(root: Path | None, seed: int, leave_out: Collection[str]) -> int:
    """Width of the inputs without the columns left out. Raises `DataError` as `census_tensors` does."""
    sizes = _tensors(root, seed, "train/sizes")["sizes"]
    return sum(name not in leave_out for name in (*_NUMERIC, "sex")) + sum(
        int(size) for size, name in zip(sizes, _CATEGORICAL, strict=True) if name not in leave_out
    )


def _tensors(root: Path | None, seed: int, only: str) -> dict[str, Tensor]:
    files = _files(root)
    stamps = tuple((file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    key = {"construction": _CONSTRUCTION, "seed": seed, "files": _fingerprint(files, stamps)}
    tensors = cached_tensors("census", key, lambda: _construct(files, seed), only=only)
    return {name.partition("/")[2]: tensor for name, tensor in tensors.items()}


def _files(root: Path | None) -> tuple[Path, ...]:
    """Where the two files are."""
    base = data_folder(root)
    found = []
    for name in _FILES:
        places = [base / folder / file for folder in _FOLDERS for file in (name, f"{name}.gz")]
        existing = [place for place in places if place.is_file()]
        if not existing:
            raise DataError(
                f"census needs {' and '.join(_FILES)} (plain or .gz) in {base / _FOLDERS[0]}, but there is no {name}. "
                "Get them from https://archive.ics.uci.edu/dataset/117/census+income+kdd and unpack them there, or "
                "name another folder with the option `root` or the environment variable MOFRAMEWORK_DATA: the one with "
                "the folder census."
            )
        found.append(existing[0])
    return tuple(found)


@functools.lru_cache(maxsize=4)
def _fingerprint(files: tuple[Path, ...], stamps: tuple[tuple[int, int], ...]) -> str:
    """The contents' hash, of 150 MB, not taken again while the files stay as they are."""
    return fingerprint(files)


def _construct(files: tuple[Path, ...], seed: int) -> dict[str, Tensor]:
    """All three splits, as "split/key" to tensor."""
    learned, test = (_read(file) for file in files)
    shuffled = np.random.RandomState(seed).permutation(len(learned["age"]))
    held_out = len(shuffled) // 5
    train = np.sort(shuffled[held_out:])
    tables = (
        {name: column.take(train) for name, column in learned.items()},
        {name: column.take(np.sort(shuffled[:held_out])) for name, column in learned.items()},
        test,
    )
    # From training and validation rows, so that the width does not depend on which rows those are.
    categories = {name: sorted(learned[name].values) for name in _CATEGORICAL}
    standardization = Standardization.of(_numbers(tables[0]))
    made: dict[str, Tensor] = {}
    for split, table in zip(SPLITS, tables, strict=True):
        codes = [table[name].positions(categories[name]) for name in _CATEGORICAL]
        made[f"{split}/numbers"] = standardization(_numbers(table))
        made[f"{split}/codes"] = torch.stack(codes, dim=1).to(torch.int16)
        made[f"{split}/sizes"] = torch.tensor([len(categories[name]) for name in _CATEGORICAL])
        for key, label in _labels(table).items():
            made[f"{split}/{key}"] = label
    return made


def _read(file: Path) -> dict[str, Column]:
    """The table of one file, without the rows that are left out."""
    table = read_columns(file, _COLUMNS)
    if not table["age"].is_numeric() or set(table["sex"].values) - {"Male", "Female"}:
        raise DataError(f"{file} is not Census-Income (KDD): delete it and get it again")
    name, rare = _RARE
    kept = np.flatnonzero(table[name].mapped({value: value != rare for value in table[name].values}))
    return {name: column.take(kept) for name, column in table.items()}


def _numbers(table: dict[str, Column]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.stack([table[name].numbers() for name in _NUMERIC], axis=1)


def _labels(table: dict[str, Column]) -> dict[str, Tensor]:
    """The binary facts of every row."""

    def where(name: str, holds: dict[str, bool]) -> Tensor:
        return torch.from_numpy(table[name].mapped(holds)).to(torch.uint8)

    education, income, married = (table[name].values for name in ("education", "income", "marital_status"))
    college = {value: value.startswith(_COLLEGE) for value in education}
    return {
        "sex": where("sex", {"Male": True, "Female": False}),
        "labels/age": torch.from_numpy(table["age"].numbers() >= 40).to(torch.uint8),
        "labels/college": where("education", college),
        "labels/education": where("education", {v: c and not v.startswith("Masters") for v, c in college.items()}),
        "labels/income": where("income", {value: not value.startswith("-") for value in income}),
        "labels/never_married": where("marital_status", {value: value == "Never married" for value in married}),
    }
