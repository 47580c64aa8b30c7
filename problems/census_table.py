"""What `census` and `fairness` have in common: the table of Census-Income (KDD), encoded once and cached."""

from __future__ import annotations

import functools
from abc import abstractmethod
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from moframework.backbones.base import Backbone
from moframework.backbones.mlp import MLP
from moframework.config import config, option
from moframework.data import SPLITS, Split, check_split
from moframework.data.cache import cached_tensors, fingerprint
from moframework.data.delimited import read_columns
from moframework.data.table import Column, Standardization, one_hot
from moframework.errors import DataError
from moframework.problem import Problem

from .uci_files import uci_files

__all__ = ["CensusTable"]

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

_COLLEGE = ("Some college", "Associates", "Bachelors", "Masters", "Prof school", "Doctorate")
_FOLDERS = ("census", "census-income", "census-income-mld", "census+income+kdd", ".")
_FILES = ("census-income.data", "census-income.test")


@config
class CensusTable(Problem):
    """Tell something about a person from the other answers to a census.

    A problem says which columns are `hidden` from the network, and takes targets from `encoded`, inputs from `inputs`.
    How the table is encoded, and which rows are in which split, is told by `Census`.
    """

    root: Path | None = option(
        None,
        help="folder that has census/census-income.data; none: MOFRAMEWORK_DATA, else a folder in the user's cache",
    )
    seed: int = option(0, ge=0, lt=2**32, help="of the draw of the rows that validate")

    @property
    @abstractmethod
    def hidden(self) -> tuple[str, ...]:
        """Names of the columns that are no inputs."""

    @final
    @property
    def network(self) -> Backbone:
        """One hidden layer of 256."""
        return MLP(hidden=(256,))

    @final
    @property
    def input_shape(self) -> tuple[int, ...]:
        """(width,), as wide as all columns but those hidden. Raises `DataError` as `encoded` does."""
        sizes = self._tensors("train/sizes")["sizes"]
        width = sum(name not in self.hidden for name in (*_NUMERIC, "sex"))
        categorical = zip(sizes.tolist(), _CATEGORICAL, strict=True)
        return (width + sum(size for size, name in categorical if name not in self.hidden),)

    @final
    def encoded(self, split: Split) -> dict[str, Tensor]:
        """The table of one split.

        Returns:
            `numbers` (n, 7) standardized, float32; `codes` (n, c) categories by position, −1 where unknown, int16;
            `sizes` (c,) categories of each of those columns; `sex` (n,) 1 for men, uint8; `labels/…` (n,) uint8, for
            income, age, education (without master's degrees), college (with them) and never_married.

        Raises:
            DataError: a file is missing or not what it should be.
        """
        return self._tensors(f"{check_split(split)}/")

    @final
    def inputs(self, encoded: dict[str, Tensor]) -> Tensor:
        """The inputs (n, width), float32, from what `encoded` returns: all columns but those hidden."""
        numbers = [position for position, name in enumerate(_NUMERIC) if name not in self.hidden]
        chosen = [position for position, name in enumerate(_CATEGORICAL) if name not in self.hidden]
        sizes = encoded["sizes"][chosen].tolist()
        parts = [encoded["numbers"][:, numbers], one_hot(encoded["codes"][:, chosen], sizes)]
        if "sex" not in self.hidden:
            parts.append(encoded["sex"].float().unsqueeze(1))
        return torch.cat(parts, dim=1)

    def _tensors(self, only: str) -> dict[str, Tensor]:
        files = _files(self.root)
        stamps = tuple((file.stat().st_mtime_ns, file.stat().st_size) for file in files)
        key = {"construction": _CONSTRUCTION, "seed": self.seed, "files": _fingerprint(files, stamps)}
        tensors = cached_tensors("census", key, lambda: _construct(files, self.seed), only=only)
        return {name.partition("/")[2]: tensor for name, tensor in tensors.items()}


def _files(root: Path | None) -> tuple[Path, ...]:
    """Where the two files are."""
    return uci_files("census", root, _FOLDERS, _FILES, "https://archive.ics.uci.edu/dataset/117/census+income+kdd")


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
