"""The problems of pymoo by name, as functions of one point."""

from __future__ import annotations

import functools
import inspect
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.errors import nearest
from moframework.problem import ObjectiveFunction

__all__ = ["PymooFunction"]


@config
class PymooFunction(ObjectiveFunction):
    """A problem of pymoo (https://pymoo.org/problems): `{name: pymoo, problem: zdt1, options: {n_var: 10}}`.

    Its bounds and its number of objectives come with it. Refused are problems with constraints, which no search here
    would heed, and those whose variables are not real numbers between bounds.

    >>> function = PymooFunction(problem="zdt1", options={"n_var": 2})
    >>> np.asarray(function(np.array([0.25, 0.0]))).tolist()  # ¼ and 1 − √¼
    [0.25, 0.5]
    """

    problem: str = option(help="pymoo's name of the problem: zdt1, dtlz2, kursawe, truss2d, …")
    options: dict[str, Any] = option(factory=dict, help="what pymoo takes with it, such as n_var or n_obj")

    def __attrs_post_init__(self) -> None:
        made = self._problem
        known = {name for cls in type(made).__mro__ for name in inspect.signature(cls).parameters}
        for key in self.options:
            if key not in known:  # pymoo accepts it, and ignores it
                guess = nearest(key, known)
                hint = f"; did you mean '{guess}'?" if guess else ""
                raise OptionError(f"'{self.problem}' takes no '{key}'{hint}", "options")
        constraints = made.n_ieq_constr + made.n_eq_constr
        if constraints:
            raise OptionError(
                f"'{self.problem}' has {constraints} constraints, and the searches here heed none: choose a problem "
                "without, or write a function of your own that adds what is violated to the objectives",
                "problem",
            )
        mixed = getattr(made, "vars", None) is not None
        if mixed or made.vtype not in (None, float) or made.xl is None or made.xu is None:
            raise OptionError(f"the variables of '{self.problem}' are not real numbers between bounds", "problem")

    def __hash__(self) -> int:
        return hash((self.problem, self._options))

    @property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Those of pymoo."""
        made = self._problem
        lower, upper = (np.broadcast_to(bound, (made.n_var,)).astype(float) for bound in (made.xl, made.xu))
        return tuple(lower.tolist()), tuple(upper.tolist())

    @property
    def objectives(self) -> int:
        """That of pymoo."""
        return int(self._problem.n_obj)

    def __call__(self, x: npt.NDArray[np.float64]) -> npt.ArrayLike:
        """See `ObjectiveFunction.__call__`."""
        found: npt.ArrayLike = self._problem.evaluate(x, return_values_of=["F"])
        return found

    @property
    def _options(self) -> str:
        return json.dumps(self.options, sort_keys=True)

    @property
    def _problem(self) -> Any:
        return _made(self.problem, self._options)


@functools.lru_cache(maxsize=16)
def _made(name: str, options: str) -> Any:
    """The problem of pymoo. Raises `OptionError` where there is none of that name, or none with these options."""
    from pymoo import problems

    try:
        return problems.get_problem(name, **json.loads(options))
    except Exception as error:  # pymoo raises plain exceptions, with whatever its problems raise
        guess = nearest(name.lower(), _names())
        known = name.lower() in _names()
        hint = f"; did you mean '{guess}'?" if guess and not known else ""
        what = f"pymoo cannot make '{name}' with {options}" if known else f"pymoo has no problem '{name}'{hint}"
        raise OptionError(f"{what} ({error})", "options" if known else "problem") from error


def _names() -> set[str]:
    """The names of pymoo's problems of several objectives."""
    from pymoo.problems import many, multi

    return {name.lower() for module in (many, multi) for name, found in vars(module).items() if isinstance(found, type)}
