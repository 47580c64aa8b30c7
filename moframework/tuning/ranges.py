"""`Range`: the values of one option that are tried."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

from moframework.config import config, option
from moframework.config.options import OptionError

__all__ = ["Kind", "Range"]

Kind = Literal["log", "uniform", "integers", "log_integers", "choices"]

_EDGE = 0.05  # of the range, from either end


@config
class Range:
    """The values of one option that are tried: one of these, and no other.

    >>> Range(integers=(1, 8)).ends
    (1, 8)
    >>> Range(log=(1e-4, 1e-2)).at_edge(9.9e-3), Range(log=(1e-4, 1e-2)).at_edge(1e-3)
    (True, False)
    """

    log: tuple[float, float] | None = option(
        None, gt=0, help="numbers from the first to the second, evenly by their logarithm, such as [1e-4, 1e-2]"
    )
    uniform: tuple[float, float] | None = option(None, help="numbers from the first to the second, evenly")
    integers: tuple[int, int] | None = option(None, help="whole numbers from the first to the second, evenly")
    log_integers: tuple[int, int] | None = option(
        None, ge=1, help="whole numbers from the first to the second, evenly by their logarithm"
    )
    choices: list[Any] | None = option(
        None, help="these values, whatever they are: [64, 128], [none, {name: cosine_annealing}]"
    )

    def __attrs_post_init__(self) -> None:
        given = [key for key in get_args(Kind) if getattr(self, key) is not None]
        if len(given) != 1:
            what = f"{' and '.join(given)} are given" if given else "none is given"
            raise OptionError(
                f"a range is one of {', '.join(get_args(Kind))}, but {what}", given[-1] if given else None
            )
        values = getattr(self, self.kind)
        if self.choices is not None:
            self._check_choices(self.choices)
        elif not all(math.isfinite(value) for value in values):
            raise OptionError(f"{self.kind} must be finite, but it is {_shown(values)}", self.kind)
        elif not values[0] < values[1]:
            raise OptionError(
                f"{self.kind} holds nothing to try: it goes from the smaller number to the larger, but it is "
                f"{_shown(values)}",
                self.kind,
            )

    @staticmethod
    def _check_choices(choices: list[Any]) -> None:
        if not choices:
            raise OptionError("choices must not be empty", "choices")
        for place, value in enumerate(choices):
            if any(type(value) is type(other) and value == other for other in choices[:place]):
                raise OptionError(f"choices has {value!r} twice", "choices")

    @property
    def kind(self) -> Kind:
        """Which of the keys is given."""
        return next(key for key in get_args(Kind) if getattr(self, key) is not None)

    @property
    def ends(self) -> tuple[Any, ...]:
        """The first and the last number, or all choices: what must fit where everything between them is to."""
        return tuple(getattr(self, self.kind))

    def holds(self, value: Any) -> bool:
        """Whether a value is one of those that are tried."""
        if self.choices is not None:
            return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in self.choices)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        low, high = self.ends
        whole = self.kind in ("integers", "log_integers")
        return low <= value <= high and (not whole or isinstance(value, int))

    def at_edge(self, value: Any) -> bool:
        """Whether a number lies within 5 % of an end of the range, so that a wider one might have a better value."""
        if self.choices is not None:
            return False
        low, high = self.ends
        if self.kind in ("log", "log_integers"):
            low, high, value = math.log(low), math.log(high), math.log(value)
        return not _EDGE < (value - low) / (high - low) < 1 - _EDGE


def _shown(values: tuple[float, float]) -> str:
    return f"[{values[0]:g}, {values[1]:g}]"
