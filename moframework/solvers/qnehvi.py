"""qNEHVI of BoTorch, the Bayesian baseline of searches."""

from __future__ import annotations

from typing import ClassVar

from moframework.blackbox import Search
from moframework.blackbox.qnehvi import QNEHVISearch, check_botorch
from moframework.config import config, option
from moframework.solvers.nsga2 import vertices
from moframework.solvers.searching import Searching
from moframework.weights import WeightSpaceConfig
from moframework.weights.finite import Finite

__all__ = ["QNEHVI"]


@config
class QNEHVI(Searching):
    """Noisy expected hypervolume improvement (Daulton et al., NeurIPS 2021, arXiv 2105.08195), by BoTorch.

    It learns no model: its network at a preference returns one of the evaluated points, and there is nothing between
    them. A batch takes seconds to minutes, more with more objectives. Needs the extra:
    `pip install 'moframework[botorch]'`.

    With 40 evaluations, of which the search chooses the last 30, two at a time::

        problem: vlmop2
        solver: {name: qnehvi, evaluations: 40, initial_design: 10, batch: 2}
    """

    continuous: ClassVar[bool] = False

    samples: int = option(128, ge=1, le=1_000_000, help="Monte Carlo samples of the improvement")
    restarts: int = option(10, ge=1, le=10_000, help="starts of each point's optimization")
    raw_samples: int = option(512, ge=1, le=1_000_000, help="points that the starts are chosen from")

    def weight_space(self, m: int) -> WeightSpaceConfig:
        """A point at each vertex, until there are evaluated ones."""
        return Finite(anchors=vertices(m))

    def search(self, m: int) -> Search:
        """See the class. Raises `SpecError` where BoTorch is not installed."""
        check_botorch()
        return QNEHVISearch(
            budget=self.budget, samples=self.samples, restarts=self.restarts, raw_samples=self.raw_samples
        )
