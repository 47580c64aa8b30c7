"""What solvers share that evaluate a function in the place of a training: how many evaluations they may spend."""

from __future__ import annotations

from typing import ClassVar

from moframework.blackbox import Budget
from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.solvers.base import Solver

__all__ = ["Searching"]


@config
class Searching(Solver):
    """A solver that chooses points at which a function is evaluated; it needs no gradients, and is sparing."""

    trains: ClassVar[bool] = False
    searches: ClassVar[bool] = True
    shared_options: ClassVar[tuple[str, ...]] = ()

    evaluations: int = option(
        100, ge=2, le=100_000, help="evaluations of the function in all; a run that is done goes on with more"
    )
    initial_design: int = option(20, ge=2, help="of them the first, spread over the box by a Latin hypercube")
    batch: int = option(5, ge=1, help="points that are proposed at a time, from all that is known")
    failures: int = option(
        10, ge=0, help="evaluations that may raise, or give numbers that are not finite; one more ends the run"
    )

    def __attrs_post_init__(self) -> None:
        if self.initial_design > self.evaluations:
            raise OptionError(
                f"initial_design must be at most evaluations, {self.evaluations}, but it is {self.initial_design}",
                "initial_design",
            )

    @property
    def budget(self) -> Budget:
        """The options of all searches."""
        return Budget(
            evaluations=self.evaluations, initial=self.initial_design, batch=self.batch, failures=self.failures
        )
