"""`german_credit`: credit risk, against how differently women and men, or the young and others, are decided on."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch

from moframework.config import config, option
from moframework.data import SPLITS, check_fractions, random_split
from moframework.data.delimited import read_columns
from moframework.data.table import Column
from moframework.errors import DataError
from moframework.problem.group_fairness import Groups

from .fair_table import FairTable, People, reader_of
from .uci_files import uci_files

__all__ = ["GermanCredit"]

# The columns of the file, in their order.
_COLUMNS = (
    *("checking_account", "months", "credit_history", "purpose", "amount", "savings", "employed_since"),
    *("installment_rate", "personal_status_and_sex", "other_debtors", "residence_since", "property", "age"),
    *("other_installments", "housing", "credits", "job", "dependents", "telephone", "foreign_worker", "risk"),
)
_NUMERIC = ("months", "amount", "installment_rate", "residence_since", "age", "credits", "dependents")
_CATEGORICAL = tuple(name for name in _COLUMNS if name not in (*_NUMERIC, "risk"))
_WOMEN, _MEN = ("A92", "A95"), ("A91", "A93", "A94")
_YOUNG = 25
_DELIMITER = " "
_GROUPS = {"sex": ("female", "male"), "age": ("25 or younger", "older than 25")}
_COLUMN_OF = {"sex": "personal_status_and_sex", "age": "age"}


@config
class GermanCredit(FairTable):
    """Tell good credit risks from bad ones, and treat women and men (or young and old) alike: two objectives on one
    output.

    **Source.** Statlog (German Credit Data): 1,000 persons who took a credit (H. Hofmann, UCI Machine Learning
    Repository, 1994, doi:10.24432/C5NC77). **License.** Creative Commons Attribution 4.0. **How to obtain.**
    `german.data` from https://archive.ics.uci.edu/dataset/144/statlog+german+credit+data, put into
    `root/german-credit`, plain or as .gz. (It is not the table that COSMOS calls credit, which is of Taiwan.)

    **Tasks.** `good`: binary cross-entropy of one logit, 1 for a good risk; accuracy, F1. The other is named after the
    `criterion` and reads the same output: its loss and its metric are those of that name, between women and men, or
    with `group: age` between those of 25 years or less and the others. 70 % are good risks; of men 72 %, of women 65 %;
    of the 190 young ones 58 %. The cost of errors that comes with the data is left out.

    **Construction.** Seven numbers are standardized by the training rows, thirteen answers are one-hot. The column that
    says the group, which for sex is that of the personal status, is no input unless `group_is_input` says so. Rows are
    split at random by `fractions` and `seed`: a test of 200 leaves gaps uncertain, by about .1.

    **Network:** hidden layers of 60 and 25, as for `adult`. **Reference point** (1, 1): guessing costs ln 2 = 0.69
    nats.

    Between younger and older people::

        problem: {name: german_credit, criterion: demographic_parity, group: age}
        solver: palora
    """

    decision: ClassVar[str] = "good"
    decisions: ClassVar[tuple[str, str]] = ("bad", "good")

    group: Literal["sex", "age"] = option("sex", help="what says the groups that are compared")
    fractions: tuple[float, float, float] = option((0.7, 0.1, 0.2), ge=0, help="shares of train, val and test")

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        check_fractions(self.fractions)

    @property
    def group_names(self) -> tuple[str, ...]:
        """Women and men, or the young and the others."""
        return _GROUPS[self.group]

    def people(self) -> People:
        """See `FairTable.people`."""
        page = "https://archive.ics.uci.edu/dataset/144/statlog+german+credit+data"
        files = uci_files("german_credit", self.root, ("german-credit", "statlog+german+credit+data", "."),
                          ("german.data",), page)  # fmt: skip
        return _people(self, self.stamps(files))


@functools.lru_cache(maxsize=2)
def _people(problem: GermanCredit, files: tuple[tuple[Path, tuple[int, int]], ...]) -> People:
    table = _read(files[0][0])
    membership = random_split(len(table["age"]), problem.fractions, problem.seed)
    rows = {split: np.flatnonzero(membership == place) for place, split in enumerate(SPLITS)}
    hidden = () if problem.group_is_input else (_COLUMN_OF[problem.group],)
    numeric, categorical = ([n for n in names if n not in hidden] for names in (_NUMERIC, _CATEGORICAL))
    reader = reader_of(table, numeric, categorical, rows["train"], delimiter=_DELIMITER)
    if problem.group == "sex":
        status = table["personal_status_and_sex"]
        is_second = status.mapped({**dict.fromkeys(_WOMEN, 0), **dict.fromkeys(_MEN, 1)}) == 1
    else:
        is_second = table["age"].numbers() > _YOUNG
    good = torch.from_numpy(table["risk"].mapped({"1": 1, "2": 0})).long()
    groups = Groups(problem.group, _GROUPS[problem.group], torch.from_numpy(is_second).long())
    return People(reader.inputs(table), good, groups, rows, reader)


def _read(file: Path) -> dict[str, Column]:
    table = read_columns(file, _COLUMNS, delimiter=_DELIMITER)
    expected = {"risk": {"1", "2"}, "personal_status_and_sex": {*_WOMEN, *_MEN}}
    wrong = any(set(table[name].values) - known for name, known in expected.items())
    if wrong or not all(table[name].is_numeric() for name in _NUMERIC):
        raise DataError(f"{file} is not German Credit: delete it and get it again")
    return table
