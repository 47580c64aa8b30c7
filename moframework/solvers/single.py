"""One multi-task network: the single-point baseline, by any weighting."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.errors import SpecError
from moframework.objectives import Balancing, Objective
from moframework.objectives.linear import Linear
from moframework.preferences.single import Single
from moframework.solvers.base import Method, Solver
from moframework.weights.finite import Finite

__all__ = ["SinglePoint"]


@config
class SinglePoint(Solver):
    """One network for all tasks at one preference, equal weights unless told otherwise: the multi-task baselines.

    The objective names the method: linear scalarization by default; `uncertainty`, `dwa`, `rlw`, `famo`, or a weighting
    of the tasks' gradients such as `nash_mtl`, `mgda`, `pcgrad`, `cagrad`, `imtl_g`, `aligned_mtl`, `upgrad`
    (`moframework list objectives` has them all, with their sources). Its front is a single point.
    """

    continuous: ClassVar[bool] = False
    min_objectives: ClassVar[int] = 1
    preference: tuple[float, ...] | None = option(
        None, ge=0, help="the preference, a number a task, scaled to add up to 1; none: all tasks alike"
    )
    objective: Objective = option(factory=Linear, help="how the tasks' losses or gradients become one direction")
    balancing: tuple[Balancing, ...] = option(
        (), help="how losses of different size are put on one footing, in this order"
    )
    initial: Path | None = option(None, help="network to start from: a .safetensors or .pt state dict, or a run folder")

    def __attrs_post_init__(self) -> None:
        try:
            Single(preference=self.preference)
        except OptionError as error:
            raise OptionError(error.message, "preference") from None

    def method(self, m: int) -> Method:
        """See `Solver.method`."""
        given = (1.0,) * m if self.preference is None else self.preference
        if len(given) != m:
            raise SpecError(f"solver.preference: has {len(given)} numbers; the problem has {m} tasks")
        total = sum(given)
        return Method(
            weights=Finite(anchors=(tuple(value / total for value in given),)),
            preferences=Single(preference=given),
            objective=self.objective,
            balancing=self.balancing,
            initial=self.initial,
        )
