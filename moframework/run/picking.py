"""Choosing an operating point of a trained model by what is needed of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray

from moframework.errors import PreferenceError, RequestError, RunError, shortened
from moframework.model.operating_point import PreferenceLike
from moframework.pareto.conditions import Condition, column_name, read_conditions
from moframework.pareto.front import Front
from moframework.pareto.rules import RULES, Column, Compromise, Nearest, PseudoWeights, Rule, Weights, rule_named
from moframework.run.evaluating import Trained, preferences_for
from moframework.run.intervals import Interval, intervals
from moframework.run.reachable import check_reachable
from moframework.run.simplex_search import EVALUATIONS, Goal, search

__all__ = [
    "NothingSatisfiesError",
    "Pick",
    "arguments_of_text",
    "is_pick_text",
    "pick",
    "pick_evaluated",
    "pick_told",
    "rule_of",
    "step",
]

STEP = 0.05
"""Of a column's range over the front, that a step betters it by at least."""


@frozen(kw_only=True)
class Pick:
    """A chosen operating point. The validation split chose it; what the test split says of it chose nothing.

    Attributes:
        tasks: names of the m tasks.
        preference: λ, m numbers.
        rule: what decided, in words.
        conditions: what had to hold, on the validation split.
        val, test: the point's losses and metrics by column, on either split.
        intervals: by split and column, between which numbers 95 % of bootstrap draws over its samples lie; columns that
            have no interval are missing (see `run.intervals`). Those of the validation split are of the samples that
            chose the point, so that they flatter it somewhat.
        test_misses: the conditions that do not hold on the test split, with its value.
        evaluations: preferences that were evaluated for the search.
        seen: all points of the validation split that it was chosen among.
        before: the point that a step started from, by column on the validation split; None for other choices.
        x: of a run that searched a function, the evaluated point, n numbers in the units of the variables; else None.
        notes: what to know before the point is used: a task that decided and whose dial is reversed.
    """

    tasks: tuple[str, ...]
    preference: tuple[float, ...]
    rule: str
    conditions: tuple[str, ...]
    val: dict[str, float]
    test: dict[str, float]
    intervals: dict[str, dict[str, Interval]]
    test_misses: tuple[str, ...]
    evaluations: int
    seen: Front
    before: dict[str, float] | None = None
    x: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The point in a few lines: λ, what chose it, and its losses and metrics on both splits."""
        preference = ", ".join(f"{weight:.4g}" for weight in self.preference)
        chosen = " and ".join(self.conditions)
        return "\n".join(
            [
                f"λ = ({preference}) for {', '.join(self.tasks)}: {self.rule}{' where ' if chosen else ''}{chosen}",
                *(
                    f"{split}: {', '.join(f'{name} {value:.4g}' for name, value in values.items())}"
                    for split, values in (("validation", self.val), ("test", self.test))
                ),
                *(f"not so on the test split: {miss}" for miss in self.test_misses),
                *(f"note: {note}" for note in self.notes),
            ]
        )

    def as_plain(self) -> dict[str, Any]:
        """Everything but `seen`, ready for JSON; a number that is nan is None."""
        plain = attrs.asdict(self, filter=lambda field, _: field.name != "seen")
        return {name: _nullable(value) for name, value in plain.items()}


class NothingSatisfiesError(RunError):
    """No point was found that meets all conditions. The text says which one is missed by how much, and where.

    Attributes:
        preference: λ of the point that misses them least.
        misses: the conditions that it misses, with its value, a text each.
    """

    def __init__(self, message: str, preference: tuple[float, ...] = (), misses: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.preference, self.misses = preference, misses


def pick(
    trained: Trained, front: Front, where: str | Sequence[str], rule: Rule, evaluations: int = EVALUATIONS
) -> Pick:
    """The best point by a rule among those that meet conditions, on the validation split.

    Args:
        trained: the model. A finite solver's own points are chosen among; else the simplex is searched.
        front: its evaluated validation front, which the search begins with.
        where: conditions on columns; see `Condition.read`.
        rule: what decides.
        evaluations: preferences that the search evaluates at most.

    Raises:
        RequestError: a name or a condition is wrong.
        NothingSatisfiesError: no point meets all conditions.
    """
    try:
        conditions = read_conditions(where, list(front.columns()))
        check_reachable(conditions, trained.problem.tasks)
        return _picked(trained, Goal(rule, conditions, front), evaluations)
    except ValueError as error:
        raise RequestError(str(error)) from error


def pick_evaluated(front: Front, x: NDArray[np.float64], where: str | Sequence[str], rule: Rule) -> Pick:
    """The best by a rule of the evaluations of a search that meet conditions; nothing is evaluated for it.

    Args:
        front: of the run, whose rows are the non-dominated evaluations.
        x: their points, (n, variables).
        where, rule: as of `pick`.

    Raises:
        RequestError, NothingSatisfiesError: as `pick`.
    """
    try:
        goal = Goal(rule, read_conditions(where, list(front.columns())), front)
        goal.scores(front)
    except ValueError as error:
        raise RequestError(str(error)) from error
    row = goal.best(front)
    if row is None:
        raise _nothing(goal, front, 0)
    values = _measured(_row(front, row))
    return Pick(
        tasks=front.tasks,
        preference=tuple(float(weight) for weight in front.preferences[row]),
        rule=rule.says,
        conditions=tuple(map(str, goal.conditions)),
        val=values,
        test=values,
        intervals={"val": {}, "test": {}},
        test_misses=(),
        evaluations=0,
        seen=front,
        x=tuple(x[row].tolist()),
    )


def step(
    trained: Trained, front: Front, preference: PreferenceLike, towards: str, evaluations: int = EVALUATIONS
) -> Pick:
    """The next point along the front at which a column is better (or worse) than at a preference.

    It is the one that costs the other tasks least among those that are better by a twentieth of the column's range over
    the front: least in the sum of their losses, each scaled by its range.

    Args:
        preference: where the step begins.
        towards: `right/accuracy=better`, or `=worse`; a task alone stands for its first metric, or its loss where it
            has none.

    Raises:
        RequestError: as `pick`.
        NothingSatisfiesError: a column at its best cannot be made better.
    """
    name, _, direction = towards.rpartition("=")
    name, direction = name.strip(), direction.strip()
    try:
        if direction not in ("better", "worse"):
            raise ValueError(f"a step is COLUMN=better or COLUMN=worse, but it is '{towards}'")
        name = _column_of(name, front)
        start = preferences_for(trained.model, front.preferences, None, [preference])
        before = trained.front(start, "val")
        values, known = before.columns()[name], front.columns()[name]
        upwards = front.higher_is_better.get(name, False) == (direction == "better")
        # A finite set has no points in between: any that is better will do.
        width = 0.0 if trained.anchors is not None else STEP * float(known.max() - known.min())
        bound = float(values[0]) + (width if upwards else -width)
        condition = Condition(name, (">" if upwards else "<") + ("=" if width else ""), bound)
        others = [task for task in front.tasks if task != name.partition("/")[0]] or list(front.tasks)
        goal = Goal(Weights(dict.fromkeys(others, 1.0)), [condition], front)
        found = _picked(trained, goal, evaluations)
    except PreferenceError:
        raise
    except ValueError as error:
        raise RequestError(str(error)) from error
    return attrs.evolve(
        found,
        rule=f"next point at which {name} is {direction}, at the least cost to the others",
        before={key: float(column[0]) for key, column in before.columns().items()},
    )


def _picked(trained: Trained, goal: Goal, evaluations: int) -> Pick:
    goal.scores(goal.front)  # names that are wrong are told before the model is asked
    finite = trained.anchors is not None
    points = goal.front if finite else search(goal, lambda wanted: trained.front(wanted, "val"), evaluations)
    row = goal.best(points)
    spent = len(points.losses) - len(goal.front.losses)
    if row is None:
        raise _nothing(goal, points, spent)
    val = _row(points, row)
    preference = torch.tensor([[val[f"{task}/preference"] for task in points.tasks]], dtype=torch.float32)
    test_front = trained.front(preference, "test")
    columns = test_front.columns()
    return Pick(
        tasks=points.tasks,
        preference=tuple(float(weight) for weight in points.preferences[row]),
        rule=goal.rule.says,
        conditions=tuple(map(str, goal.conditions)),
        val=_measured(val),
        test=_measured(_row(test_front, 0)),
        intervals={
            "val": intervals(trained, preference[0], trained.data("val")),
            "test": intervals(trained, preference[0], trained.data("test")),
        },
        test_misses=tuple(
            f"{one}: it is {columns[one.column][0]:.4g}"
            for one in goal.conditions
            if not one.holds(columns[one.column])[0]
        ),
        evaluations=spent,
        seen=points,
        notes=() if finite else _reversed_dials(goal),
    )


def _reversed_dials(goal: Goal) -> tuple[str, ...]:
    """A note for each task that a choice optimizes or bounds, and whose dial runs backwards on the split that
    chooses."""
    columns = [condition.column for condition in goal.conditions]
    tasks = {name.partition("/")[0] for name in columns} | _decides(goal)
    ranks = zip(goal.front.tasks, goal.front.controllability(), strict=True)
    return tuple(
        f"The dial of '{task}' is reversed on the validation split, which chose this point: more weight on it goes "
        f"with more loss (rank correlation {rank:+.2f}; -1 is ideal). Go by the columns here, and not by the weights."
        for task, rank in ranks
        if rank > 0 and task in tasks
    )


def _decides(goal: Goal) -> set[str]:
    """The tasks whose losses or metrics the rule looks at."""
    match goal.rule:
        case Column(name=name):
            return {name.partition("/")[0]}
        case Nearest(values=named):
            return {name.partition("/")[0] for name in named}
        case Weights(weights=weights) | PseudoWeights(weights=weights):
            return set(weights)
    return set(goal.front.tasks)


def _nothing(goal: Goal, points: Front, spent: int) -> NothingSatisfiesError:
    """What to tell where no point will do."""
    row = goal.nearest(points)
    misses, best = goal.misses(points, row), goal.each_alone(points)
    where = ", ".join(f"{weight:.4g}" for weight in points.preferences[row])
    return NothingSatisfiesError(
        f"no point of {len(points.losses)} meets all conditions on the validation split ({spent} were evaluated for "
        f"it). The nearest is λ = ({where}): {'; '.join(misses) or 'the rule is not defined at any point'}. "
        f"Each alone: {best or 'no conditions'}",
        tuple(float(weight) for weight in points.preferences[row]),
        misses,
    )


def rule_of(
    front: Front, maximize: str | None = None, minimize: str | None = None, rule: Rule | str | None = None
) -> Rule:
    """The one rule that is given; the compromise where none is.

    Raises:
        RequestError: more than one is given, or there is none of that name.
    """
    given: list[Rule] = []
    try:
        for name, upwards in ((maximize, True), (minimize, False)):
            if name is not None:
                given.append(Column(column_name(name, list(front.columns())), upwards))
        if rule is not None:
            given.append(rule_named(rule) if isinstance(rule, str) else rule)
    except ValueError as error:
        raise RequestError(str(error)) from error
    if len(given) > 1:
        raise RequestError(f"one rule decides, but {len(given)} are given: {'; '.join(one.says for one in given)}")
    return given[0] if given else Compromise()


def arguments_of_text(text: str) -> dict[str, Any]:
    """What a text asks of `Run.pick`: conditions and at most one rule, with semicolons in between.

    A rule is `maximize COLUMN`, `minimize COLUMN`, `compromise`, `knee` or `tradeoff`; all else are conditions.

    Raises:
        RequestError: it has more than one rule, or nothing, or a rule without its column.

    >>> arguments_of_text("left/accuracy >= 0.95; maximize right/accuracy")
    {'where': ['left/accuracy >= 0.95'], 'maximize': 'right/accuracy'}
    """
    parts = [part.strip() for part in text.split(";") if part.strip()]
    if not parts:
        raise RequestError(
            "nothing is asked for: write conditions, a rule, or both: 'left/loss <= 2; minimize right/loss'"
        )
    found: dict[str, Any] = {"where": []}
    rules = []
    for part in parts:
        word, _, rest = part.partition(" ")
        if word in ("maximize", "minimize"):
            if not rest.strip():
                raise RequestError(f"'{word}' names no column: write it behind, as in '{word} right/loss'")
            rules.append(part)
            found[word] = rest.strip()
        elif not set(part) & set("<>="):
            rules.append(part)
            found["rule"] = part
        else:
            found["where"].append(part)
    if len(rules) > 1:
        told = "; ".join(map(shortened, rules))
        raise RequestError(f"one rule decides, but '{shortened(text)}' has {len(rules)}: {told}")
    return found


def is_pick_text(text: str) -> bool:
    """Whether a text is meant as `arguments_of_text` reads it, and not as numbers or the name of a file.

    >>> is_pick_text("left/accuracy >= 0.95"), is_pick_text("knee"), is_pick_text("0.3,0.7"), is_pick_text("knee.json")
    (True, True, False, False)
    """
    parts = [part.strip() for part in text.split(";")]
    words = {part.partition(" ")[0] for part in parts}
    return bool(set(text) & set("<>")) or " = " in text or bool(words & {"maximize", "minimize", *RULES})


def pick_told(found: Pick) -> str:
    """A chosen point in a line: λ, what chose it, what it has on the validation split, and what to know of it.

    The conditions are not repeated, since the one who reads it has written them.
    """
    numbers = [f"{name} {value:.4g}" for name, value in found.val.items()]
    preference = ",".join(f"{weight:.6g}" for weight in found.preference)
    told = f"picked λ = {preference} ({found.rule}); on the validation split {', '.join(numbers)}"
    missed = [f"Not so on the test split: {miss}" for miss in found.test_misses]
    return ". ".join([told, *missed, *found.notes])


def _column_of(name: str, front: Front) -> str:
    """A column by its name, or of a task its first metric, or its loss."""
    losses = [f"{task}/loss" for task in front.tasks]
    if name in front.tasks:
        return next((metric for metric in front.metrics if metric.startswith(f"{name}/")), f"{name}/loss")
    return column_name(name, [*front.tasks, *losses, *front.metrics])


def _row(front: Front, row: int) -> dict[str, float]:
    return {name: float(values[row]) for name, values in front.columns().items()}


def _measured(columns: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in columns.items() if not name.endswith("/preference")}


def _nullable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _nullable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_nullable(one) for one in value]
    return None if isinstance(value, float) and value != value else value
