"""PaMaL: Pareto Manifold Learning."""

from __future__ import annotations

from pathlib import Path

from moframework.config import config, option
from moframework.engine.method import Start
from moframework.errors import SpecError
from moframework.merging.hull import FrozenHull, fill_hull
from moframework.merging.start import FromMembers
from moframework.preferences import Schedule
from moframework.preferences.dirichlet import Dirichlet
from moframework.solvers.base import Solver
from moframework.weights import WeightSpaceConfig
from moframework.weights.convex_hull import ConvexHull
from moframework.weights.mixed import Mixed

__all__ = ["PaMaL"]


@config
class PaMaL(Solver):
    """Convex combinations of one complete network per task (Dimitriadis, Frossard, Fleuret, ICML 2023).

    `θ(λ) = Σ_t λ_t θ_t` with members initialized independently, trained on `Σ_t λ_t L_t` at W preferences a batch,
    drawn from a Dirichlet distribution. Normalization layers are interpolated like all parameters; their running
    statistics are shared. The multi-forward term that keeps the order of losses is an objective:
    `objective: {name: multi_forward, coefficient: 1}`.

    `only: "head*"` combines a part of the network and shares the rest, as Conditional Language Policy does (Wang et
    al., EMNLP Findings 2024, arXiv 2407.15762). `trained_at` lets members stand for other preferences than the
    vertices, so that the front goes beyond them (after Bone Soup, arXiv 2502.10762).

    Source: arXiv 2210.09759, Eq. 2–4; defaults are those of MultiMNIST. The paper gives the members m times the
    learning rate, its released code does not (`lr_factor: 1`). Limits: m times the parameters of the network; linear
    scalarization cannot reach a concave part of a front.

    Heads for each task, and one encoder for all preferences, with the term that keeps the order of losses::

        solver: {name: pamal, only: "heads*", objective: {name: multi_forward, coefficient: 1}}
    """

    lr_factor: float | None = option(
        None, gt=0, help="learning rate of the members over that of the training; none means m, as in the paper"
    )
    only: str | tuple[str, ...] | None = option(
        None, help="a pattern of parameters' names, or several, that members have of their own; none: all"
    )
    preferences: Schedule = option(
        Dirichlet(concentration=1.0, per_batch=4),
        help="how preferences are drawn, how many (W) a batch, shared or split",
    )
    initial: Path | None = option(
        None, help="network that all members start from: a .safetensors or .pt state dict, or a run folder"
    )
    members: Path | dict[str, Path] | None = option(
        None, help="or a network for each task, as of solver soup: a run folder that has them, or one a task"
    )
    frozen: tuple[int, ...] = option(
        (), ge=0, le=9_999, help="tasks whose members stay as they are, by their place from 0"
    )
    trained_at: tuple[tuple[float, ...], ...] | None = option(
        None, help="the preference that each member stands for, m rows of m (Bone Soup); none: the vertices"
    )

    def weight_space(self, m: int) -> WeightSpaceConfig:
        """The hull of m networks."""
        if self.frozen and self.only is not None:
            raise SpecError("solver.only: the members of a part cannot be frozen; leave out only or frozen")
        made: WeightSpaceConfig = ConvexHull(lr_factor=self.lr_factor, only=self.only)
        if self.frozen:
            made = FrozenHull(lr_factor=self.lr_factor, frozen=self.frozen)
        return made if self.trained_at is None else Mixed(space=made, trained_at=self.trained_at)

    def model_start(self) -> Start | None:
        """The members, where they are given."""
        if self.members is None:
            return None
        if self.initial is not None:
            raise SpecError("solver.initial: give one network that all members start from, or members, not both")
        return FromMembers(members=self.members, far="warn", into=fill_hull)
