"""One multi-task network: the single-point baseline, by any weighting."""

from __future__ import annotations

from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.errors import SpecError
from moframework.objectives import Objective
from moframework.objectives.linear import Linear
from moframework.preferences.single import Single
from moframework.solvers.base import Solver
from moframework.weights import WeightSpaceConfig
from moframework.weights.finite import Finite

__all__ = ["SinglePoint"]


@config
class SinglePoint(Solver):
    """One network for all tasks at one preference, equal weights unless told otherwise: the multi-task baselines.

    The objective names the method: linear scalarization by default; `uncertainty`, `dwa`, `rlw`, `famo`, or a weighting
    of the tasks' gradients such as `nash_mtl`, `mgda`, `pcgrad`, `cagrad`, `imtl_g`, `aligned_mtl`, `upgrad`
    (`moframework list objectives` has them all, with their sources). Its front is a single point.

    Nash-MTL, with a preference for the first of two tasks::

        solver: {name: single, objective: nash_mtl, preference: [0.7, 0.3]}
    """

    continuous = False
    min_objectives = 1
    shared_options = ("objective", "balancing", "initial")
    preference: tuple[float, ...] | None = option(
        None, ge=0, help="the preference, a number a task, scaled to add up to 1; none: all tasks alike"
    )
    objective: Objective = option(Linear(), help="how the tasks' losses or gradients become one direction")

    def __attrs_post_init__(self) -> None:
        try:
            Single(preference=self.preference)
        except OptionError as error:
            raise OptionError(error.message, "preference") from None

    def schedule(self, m: int) -> Single:
        """The one preference at every step."""
        return Single(preference=self.preference)

    def weight_space(self, m: int) -> WeightSpaceConfig:
        """One network, at the preference."""
        given = (1.0,) * m if self.preference is None else self.preference
        if len(given) != m:
            raise SpecError(f"solver.preference: has {len(given)} numbers; the problem has {m} tasks")
        total = sum(given)
        return Finite(anchors=(tuple(value / total for value in given),))
