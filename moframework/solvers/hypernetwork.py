"""What the solvers share whose weights a hypernetwork computes: its choice, and what `initial` means to it."""

from __future__ import annotations

from pathlib import Path

from moframework.config import config, option
from moframework.solvers.base import Solver
from moframework.weights import WeightSpaceConfig
from moframework.weights.hypernetwork import Hypernetwork

__all__ = ["HypernetworkSolver"]


@config
class HypernetworkSolver(Solver):
    """A hypernetwork computes the weights from the preference; how it is trained is up to the solver."""

    weights: WeightSpaceConfig = option(
        Hypernetwork(), help="the hypernetwork: hypernetwork (a head a tensor), or chunked_hypernetwork"
    )
    initial: Path | None = option(
        None, help="network that the weights start around: a .safetensors or .pt state dict, or a run folder"
    )

    def weight_space(self, m: int) -> WeightSpaceConfig:
        """The hypernetwork."""
        return self.weights
