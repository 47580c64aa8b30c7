"""Operating points by name, and preferences as requests give them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from moframework.errors import PreferenceError, RequestError, nearest, shortened
from moframework.model.operating_point import another_count, no_preference, on_simplex, unknown_task
from moframework.run.picking import is_pick_text
from moframework.serve.refusal import Fault, Refusal, pointer

__all__ = ["named_points", "preferences_of"]

_FORMS = "is not of the form NAME=NUMBERS, NAME=FILE or NAME=CONDITIONS"
_LARGEST = 1e30  # of sums of more 32 bits may have none


def named_points(
    given: Sequence[str], tasks: Sequence[str], pick: Callable[[str], Sequence[float]] | None = None
) -> dict[str, list[float]]:
    """Operating points that a caller names, each m numbers that sum to 1.

    Args:
        given: a text each, `balanced=0.5,0.5`; or `best=pick.json`, a file that has its `preference`, such as
            `moframework pick --json` prints; or `safe=left/accuracy >= 0.9; minimize right/loss`, what `pick` chooses.
        tasks: names of the m objectives.
        pick: the preference that conditions and a rule choose; None where there is nothing to choose among.

    Raises:
        RequestError: one cannot be read, is no preference, or has the name of another.

    >>> named_points(["balanced=1,1"], ("left", "right"))
    {'balanced': [0.5, 0.5]}
    """
    found: dict[str, list[float]] = {}
    for text in given:
        name, sign, value = text.partition("=")
        chosen = is_pick_text(value)
        if not chosen:  # a name may have the sign too
            name, sign, value = text.rpartition("=")
        if not sign or not name or name in found:
            wrong = "has the name of another" if name in found else _FORMS
            raise RequestError(f"the point '{shortened(text)}' {wrong}, as in balanced=0.5,0.5")
        try:
            found[name] = _row(_picked(value, pick) if chosen else _numbers(value), tasks, ())
        except Refusal as error:
            raise RequestError(f"the point '{shortened(text)}': {error}") from None
    return found


def _picked(text: str, pick: Callable[[str], Sequence[float]] | None) -> list[float]:
    if pick is None:
        raise Refusal(422, "conditions choose a point of a run, but this is the folder of a model")
    return list(pick(text))


def _numbers(value: str) -> list[float]:
    try:
        return [float(part) for part in value.split(",")]
    except ValueError:
        pass
    try:
        plain = json.loads(Path(value).read_text(encoding="utf-8"))
        return [float(number) for number in plain["preference"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise Refusal(
            422,
            f"'{shortened(value)}' is neither numbers with commas between nor a JSON file with a `preference`, "
            "nor conditions or a rule, such as 'left/accuracy >= 0.9; knee'",
        ) from None


def preferences_of(
    asked: Mapping[str, Any], tasks: Sequence[str], points: Mapping[str, Sequence[float]], samples: int
) -> list[list[float]]:
    """The preference of each sample that a request asks for: `samples` rows of m numbers that sum to 1.

    Args:
        asked: the request: `preference` is m numbers, an object with a number for each task, or a list with m numbers
            for each sample; or `point` is a name.
        tasks: names of the m objectives.
        points: operating points by name.

    Raises:
        Refusal: there is neither or there are both, or it is no such thing.

    >>> preferences_of({"preference": [1, 3]}, ("left", "right"), {}, 2)
    [[0.25, 0.75], [0.25, 0.75]]
    """
    if ("preference" in asked) == ("point" in asked):
        what = "there are both `preference` and `point`" if "point" in asked else "there is no `preference`"
        form = f"{len(tasks)} numbers, one for each of {_listed(tasks)}"
        names = f", or a `point`: {_listed(points)}" if points else ""
        raise Refusal.of("#/preference", f"{what}; wanted is a `preference`, {form}{names}")
    if "point" in asked:
        return [list(_point(asked["point"], points))] * samples
    given = asked["preference"]
    if isinstance(given, list) and given and isinstance(given[0], list):
        if len(given) != samples:
            raise Refusal.of("#/preference", another_count(len(given), samples))
        return [_row(one, tasks, ("preference", position)) for position, one in enumerate(given)]
    return [_row(given, tasks, ("preference",))] * samples


def _point(name: Any, points: Mapping[str, Sequence[float]]) -> Sequence[float]:
    if isinstance(name, str) and name in points:
        return points[name]
    if not points:
        raise Refusal.of("#/point", "this server has no operating points; give a `preference`")
    guess = nearest(name, points) if isinstance(name, str) else None
    hint = f"; did you mean '{shortened(guess)}'?" if guess else ""
    told = f"there is no point '{shortened(name)}'" if isinstance(name, str) else "a point is named by a text"
    raise Refusal.of("#/point", f"{told}{hint} Points: {_listed(points)}" if hint else f"{told}; {_listed(points)}")


def _row(given: Any, tasks: Sequence[str], where: Sequence[str | int]) -> list[float]:
    """m numbers that sum to 1. Raises `Refusal` with the words of `PreferenceError`."""
    if isinstance(given, dict):
        given = _by_task(given, tasks, where)
    if not isinstance(given, list) or len(given) != len(tasks):
        raise Refusal.of(pointer(*where), no_preference(given, tasks))
    for position, number in enumerate(given):
        if type(number) not in (int, float):
            raise Refusal.of(pointer(*where, position), no_preference(given, tasks))
        if not 0 <= number <= _LARGEST:
            return _checked(given, tasks, (*where, position))
    total = math.fsum(given)
    return [number / total for number in given] if total > 0 else _checked(given, tasks, where)


def _checked(numbers: Sequence[float], tasks: Sequence[str], where: Sequence[str | int]) -> list[float]:
    """The same by `on_simplex`, which takes longer and says what is wrong."""
    try:
        row: list[float] = on_simplex(numbers, tasks).tolist()
    except PreferenceError as error:
        raise Refusal.of(pointer(*where), str(error)) from None
    return row


def _by_task(given: Mapping[str, Any], tasks: Sequence[str], where: Sequence[str | int]) -> list[Any]:
    """The numbers of an object, in the order of the tasks; tasks that it lacks have 0."""
    faults = []
    for name in given:
        if name not in tasks:
            faults.append(Fault(pointer(*where, name), unknown_task(name, tasks)))
    if faults:
        raise Refusal(422, faults=faults)
    return [given.get(task, 0) for task in tasks]


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    every = [shortened(name) for name in names]
    return ", ".join(every) if len(every) <= 20 else f"{', '.join(every[:20])} and {len(every) - 20} more"
