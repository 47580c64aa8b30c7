"""`AdapterStart`: where the low-rank adapters of a model begin, before its training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

from attrs import frozen

from moframework.errors import SpecError
from moframework.model.pareto_model import ParetoModel
from moframework.weights.adapter_starts import start_nonzero, start_principal
from moframework.weights.low_rank import LowRankSpace
from moframework.weights.remapped import unmapped

__all__ = ["AdapterInit", "AdapterStart", "adapter_start"]

AdapterInit = Literal["lora", "pissa", "nonzero"]
"""`lora`: B = 0 (as PEFT's default). `pissa`: the principal part of the weight, in each task's adapter alike (as PEFT's
of that name). `nonzero`: B is drawn at random."""

DEVIATION = 0.3
"""Of the entries of B, where nothing else is said."""


@frozen
class AdapterStart:
    """Fills the adapters of a model that are still at B = 0; see `weights.adapter_starts`.

    Attributes:
        init: other than `lora`, which is how adapters are made.
        deviation: of the entries of B, for `nonzero`.
    """

    init: AdapterInit
    deviation: float

    def __call__(self, model: ParetoModel, problem: object, data: object, trust: object) -> Sequence[str]:
        """See `engine.method.Start`.

        Raises:
            SpecError: the model began with adapters already.
        """
        space = cast(LowRankSpace, unmapped(model.space))
        if any(bool(b.any()) for b in space.b):
            raise SpecError(
                f"solver.adapter_init: is {self.init}, but solver.initial has an adapter for each task, and these are "
                "where adapters start; leave adapter_init out"
            )
        if self.init == "pissa":
            share = start_principal(model.space)
            return [f"adapters start as the principal part of their weights, {share:.0%} of the norm of these"]
        away = start_nonzero(model.space, self.deviation)
        return [f"adapters start at random: at the vertices weights are {away:.1%} of their norm away from the network"]


def adapter_start(init: AdapterInit, deviation: float) -> AdapterStart | None:
    """What a solver with these options, `adapter_init` and `adapter_init_std`, starts adapters with; None for `lora`.

    Raises:
        SpecError: a deviation is given that nothing reads.
    """
    if init != "nonzero" and deviation != DEVIATION:
        raise SpecError(f"solver.adapter_init_std: is of adapter_init nonzero alone, but that is {init}; leave it out")
    return None if init == "lora" else AdapterStart(init, deviation)
