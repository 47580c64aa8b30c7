"""Fairness between groups of people as a task: which column says the group, what should be alike, and for which
target."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from attrs import frozen
from torch import Tensor

from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.data import Split
from moframework.data.table import Column, in_order
from moframework.errors import DataError, meant, shortened
from moframework.losses import DemographicParity, EqualizedOdds, EqualOpportunity
from moframework.losses.between_groups import MOST_GROUPS
from moframework.metrics import fairness as metrics
from moframework.problem.tabular import UNKNOWN, TargetKind, task_name
from moframework.problem.task import Task

__all__ = ["Criterion", "GroupFairness", "Groups", "fairness_task", "gap_name", "gaps_of", "group_notes"]

Criterion = Literal["demographic_parity", "equal_opportunity", "equalized_odds"]
"""What should be alike in all groups: the rate of decisions for class 1; that among those of class 1; that among those
of either class."""

_LOSSES = {
    "demographic_parity": DemographicParity,
    "equal_opportunity": EqualOpportunity,
    "equalized_odds": EqualizedOdds,
}
_METRICS = {
    "demographic_parity": metrics.DemographicParity,
    "equal_opportunity": metrics.EqualOpportunity,
    "equalized_odds": metrics.EqualizedOdds,
}
_NUMBERS = 10  # different numbers that may be codes of groups rather than amounts
_SMALL = 30  # samples of a group of which a rate is little known: its standard error is up to 0.09
_SHOWN = 5  # groups that a message names


@config
class GroupFairness:
    """Groups that a column says, and what should be alike in them."""

    criterion: Criterion = option(
        "demographic_parity",
        help="what should be alike in all groups: the rate of decisions for class 1 (demographic_parity), that among "
        "those of class 1 (equal_opportunity), or that among those of class 1 and of class 0 (equalized_odds)",
    )
    of: str | None = option(None, help="the binary target that is decided on; none: the only one")
    input: bool = option(False, help="the column is an input too")
    bins: tuple[float, ...] = option(
        (), help="of a column of numbers: where a group ends and the next begins, so that [30, 50] makes three groups"
    )

    def __attrs_post_init__(self) -> None:
        if list(self.bins) != sorted(set(self.bins)):
            raise OptionError("bins must grow from one to the next", "bins")


def gap_name(column: str) -> str:
    """What the task is called that compares the groups of a column.

    >>> gap_name("sex")
    'sex_gap'
    """
    return f"{task_name(column)}_gap"


def gaps_of(
    fairness: Mapping[str, Criterion | GroupFairness], targets: Mapping[str, TargetKind]
) -> dict[str, GroupFairness]:
    """What a spec says of fairness, by column, with `of` filled in.

    Args:
        fairness: by column; a criterion alone stands for its defaults.
        targets: what each target is, by the name of its column.

    Raises:
        OptionError: `of` is no target of two values, or there is none or several to choose from.
    """
    binary = [name for name, kind in targets.items() if kind == "binary"]
    names = {task_name(name) for name in targets}
    made = {}
    for column, given in fairness.items():
        options = given if isinstance(given, GroupFairness) else GroupFairness(criterion=given)
        if options.of is None and len(binary) != 1:
            which = f"{len(binary)} ({', '.join(binary)}): say which with `of`" if binary else "none"
            raise OptionError(
                f"fairness compares decisions on a binary target, but there are {which}", f"fairness.{column}"
            )
        of = binary[0] if options.of is None else options.of
        if of not in binary:
            raise OptionError(
                f"of is '{of}', which is no binary target; {meant(of, binary)}"
                f"binary targets: {', '.join(binary) or 'none'}",
                f"fairness.{column}.of",
            )
        if of == column:
            raise OptionError(f"column '{column}' cannot be group and target of one gap", f"fairness.{column}")
        if gap_name(column) in names:
            raise OptionError(
                f"the task of column '{column}' is called '{gap_name(column)}', as a target is", "fairness"
            )
        names.add(gap_name(column))
        made[column] = GroupFairness(criterion=options.criterion, of=of, input=options.input, bins=options.bins)
    return made


@frozen(eq=False)
class Groups:
    """The groups of a table's rows."""

    column: str
    names: tuple[str, ...]
    codes: Tensor
    """Of each row, (n,), int64: 0, 1, … in the order of `names`; `UNKNOWN` where it is not known."""

    @classmethod
    def of(
        cls, column: Column, bins: Sequence[float] = (), missing: Sequence[str] = (), *, codes: bool = False
    ) -> Groups:
        """The groups that a column says: its known values in order, or, with `bins`, ranges of its numbers.

        Args:
            column: n rows.
            bins: growing; a number that equals one belongs to the range above.
            missing: cells that mean unknown.
            codes: numbers stand for groups, however many there are.

        Raises:
            DataError: it has one value, or too many; or not numbers where there are bins.

        >>> groups = Groups.of(Column.of("age", ["20", "30", "?", "61"]), [30, 50], ["?"])
        >>> groups.names, groups.codes.tolist()
        (('below 30', '30 to below 50', '50 or more'), [0, 1, -100, 2])
        """
        if bins:
            return cls._binned(column, bins, missing)
        names = in_order(value for value in column.values if value not in missing)
        name = shortened(column.name)
        if len(names) < 2:
            found = f"one value only, '{shortened(names[0])}'" if names else "no known value"
            raise DataError(f"column '{name}' has {found}: there are no groups to compare")
        numeric = column.is_numeric(missing)
        if numeric and not codes and len(names) > _NUMBERS:
            quarters = np.nanquantile(column.numbers(missing), (0.25, 0.5, 0.75))
            shown = ", ".join(dict.fromkeys(f"{number:g}" for number in quarters))
            raise DataError(
                f"column '{name}' has {len(names):,} different numbers: say where one group ends and the next begins, "
                f"such as `bins: [{shown}]`, or, where each number is a group, put the column under `categorical`"
            )
        if len(names) > MOST_GROUPS:
            raise DataError(
                f"column '{name}' has {len(names):,} different values, such as '{shortened(names[0])}' and "
                f"'{shortened(names[-1])}': {MOST_GROUPS} groups are the most"
            )
        positions = column.positions(names)
        return cls(column.name, names, torch.where(positions < 0, UNKNOWN, positions))

    @classmethod
    def _binned(cls, column: Column, bins: Sequence[float], missing: Sequence[str]) -> Groups:
        numbers = column.numbers(missing)
        codes = np.where(np.isnan(numbers), UNKNOWN, np.searchsorted(bins, numbers, side="right"))
        inner = [f"{low:g} to below {high:g}" for low, high in itertools.pairwise(bins)]
        names = (f"below {bins[0]:g}", *inner, f"{bins[-1]:g} or more")
        empty = [name for i, name in enumerate(names) if not (codes == i).any()]
        if empty:
            raise DataError(
                f"column '{shortened(column.name)}' has no number {empty[0]}: it runs from {np.nanmin(numbers):g} to "
                f"{np.nanmax(numbers):g}; choose other bins"
            )
        return cls(column.name, names, torch.from_numpy(codes))


def fairness_task(name: str, criterion: Criterion, of: Task, groups: int, *, published: bool = False) -> Task:
    """A task that compares groups in the decisions of another task.

    Args:
        name: its own, and that of its target: labels and groups, (n, 2).
        criterion: what should be alike.
        of: the task whose output is decided by, of size 1 or 2.
        groups: how many there are.
        published: the form that COSMOS has, and its metric beside that of rates; not of `equalized_odds`.

    >>> from moframework.losses import BinaryCrossEntropy
    >>> task = fairness_task("sex_gap", "equal_opportunity", Task(name="income", loss=BinaryCrossEntropy()), 2)
    >>> task.output_key, task.loss
    ('income', EqualOpportunity(groups=2, ignore_index=-100, form='means'))
    """
    options = {"form": "published"} if published else {}
    reported = [_METRICS[criterion](groups=groups)] + (
        [_METRICS[criterion](groups=groups, **options)] if options else []
    )
    return Task(
        name=name,
        loss=_LOSSES[criterion](groups=groups, **options),
        metrics=tuple(reported),
        output=of.output_key,
        size=of.size,
    )


def group_notes(task: Task, labels: Tensor, groups: Groups, rows: Mapping[Split, npt.NDArray[np.int64]]) -> list[str]:
    """What to tell of the groups of a task: which they are, how many rows have none, and which of them have too few
    samples in a split for their rate to be known.

    Args:
        task: as `fairness_task` makes it.
        labels: of each row of the table, (n,).
        groups: of these rows.
        rows: which are in which split.
    """
    loss = task.loss
    assert isinstance(loss, DemographicParity | EqualOpportunity | EqualizedOdds)
    counts = [int((groups.codes == index).sum()) for index in range(len(groups.names))]
    shown = [f"{shortened(name)} ({count:,})" for name, count in zip(groups.names, counts, strict=True)]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    unknown = len(groups.codes) - sum(counts)
    told = f"; {unknown:,} rows are in none" if unknown else ""
    notes = [f"{task.name}: groups {', '.join(shown[:_SHOWN])}{more} of column '{shortened(groups.column)}'{told}"]
    folded: dict[str, str] = {}
    for name in groups.names:
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            both = f"'{shortened(other)}' and '{shortened(name)}'"
            notes.append(f"{task.name}: {both} are two groups; where they are one, write them alike")
    target = torch.stack([labels, groups.codes], dim=1)
    members = {split: loss.members(target[torch.from_numpy(chosen)]).sum(dim=0) for split, chosen in rows.items()}
    for row, whom in enumerate(loss.row_names()):
        for index, name in enumerate(groups.names):
            few = {split: int(found[row, index]) for split, found in members.items() if found[row, index] < _SMALL}
            if few:
                where = ", ".join(f"{count} in {split}" for split, count in few.items())
                notes.append(
                    f"{task.name}: of group '{shortened(name)}' there are few {whom} ({where}), so that its rate is "
                    "little known there"
                )
    return notes
