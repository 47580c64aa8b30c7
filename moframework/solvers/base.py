"""The contract of a solver: its capabilities, the options that solvers share, and the `Method` made from them."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, cast

import attrs

from moframework.blackbox import Search
from moframework.config import Component, config, option
from moframework.engine.method import Method, Start
from moframework.errors import MoframeworkError
from moframework.objectives import Balancing, Objective
from moframework.objectives.linear import Linear
from moframework.preferences import Schedule
from moframework.preferences.dirichlet import Dirichlet
from moframework.weights import WeightSpaceConfig

__all__ = ["Method", "Solver"]

_SHARED = ("preferences", "objective", "balancing", "initial")


@config
class Solver(Component, kind="solvers"):
    """A named assembly of weight space, preference schedule and objective.

    A solver gives its weight space and the options that this takes. `preferences`, `objective`, `balancing` and
    `initial` are options of every solver, written after its own; class data changes their defaults:

    >>> from moframework.config import config
    >>> from moframework.weights.convex_hull import ConvexHull
    >>> @config
    ... class Hull(Solver):
    ...     "Everything between m networks, at two preferences a batch."
    ...     default_preferences = Dirichlet(per_batch=2)
    ...     lr_factor: float = option(1.0, gt=0, help="learning rate of the networks over that of the training")
    ...     def weight_space(self, m):
    ...         return ConvexHull(lr_factor=self.lr_factor)
    >>> method = Hull(objective=Linear()).method(m=3)
    >>> type(method.weights).__name__, method.preferences.count(3)
    ('ConvexHull', 2)

    A solver that declares one of them again, as an option with a help of its own, replaces it. One whose preferences
    follow from its other options overrides `schedule`, and leaves `preferences` out of `shared_options`.

    Capabilities are class data too; the engine and the command line read them and never ask for a solver's name.
    """

    continuous: ClassVar[bool] = True
    """Whether one model answers every preference, rather than a finite set of them."""
    single_task: ClassVar[bool] = False
    """Whether its points at the vertices are networks for one task each: the reference of Δm."""
    min_objectives: ClassVar[int] = 2
    """The smallest number of objectives it makes sense for."""
    max_objectives: ClassVar[int | None] = None
    """The largest number of objectives it can handle, or None."""
    trains: ClassVar[bool] = True
    """Whether steps are taken; False where `model_start` gives the weights. Then `training` says on what device, no
    more."""
    searches: ClassVar[bool] = False
    """Whether it evaluates a function at points that `search` chooses, in the place of a training (`trains` is False
    then); the others follow gradients."""
    needs_members: ClassVar[bool] = False
    """Whether its option `members` must name networks that were trained on one task each."""

    shared_options: ClassVar[tuple[str, ...]] = _SHARED
    """Those of the shared options that a spec may give; the others keep their defaults. A solver that defines `method`
    in place of `weight_space` has none but those it declares, unless it says so here."""
    default_preferences: ClassVar[Schedule] = Dirichlet(concentration=1.0, per_batch=4)
    """The default of `preferences`."""
    default_objective: ClassVar[Objective] = Linear()
    """The default of `objective`."""

    preferences: Schedule = option(
        default_preferences, help="how preferences are drawn, how many a batch, shared or split"
    )
    objective: Objective = option(default_objective, help="how losses and a preference become one scalar")
    balancing: tuple[Balancing, ...] = option(
        (), help="how losses of different size are put on one footing, in this order"
    )
    initial: Path | None = option(
        None,
        help="network to start from: a .safetensors or .pt state dict, a run folder, or a folder of adapters of PEFT",
    )

    def __init_subclass__(cls, kind: str | None = None, **kwargs: object) -> None:
        super().__init_subclass__(kind=kind, **kwargs)
        if "method" in cls.__dict__ and getattr(cls.weight_space, "__isabstractmethod__", False):
            # It needs no weight space then, and an option that its `method` does not read would be accepted in vain.
            cls.weight_space = _not_given  # type: ignore[method-assign]
            cls.shared_options = cls.__dict__.get("shared_options", ())

    @classmethod
    def arranged(cls, fields: list[attrs.Attribute[Any]]) -> list[attrs.Attribute[Any]]:
        """A solver's own options, then the shared ones that it offers, with its defaults."""
        own = [field for field in fields if field.name not in _SHARED]
        shared = {field.name: field for field in fields if field.name in _SHARED}
        return own + [cls._shared(shared[name]) for name in _SHARED]

    @classmethod
    def _shared(cls, field: attrs.Attribute[Any]) -> attrs.Attribute[Any]:
        inherited = cast(Any, field).inherited  # which the stubs of attrs leave out
        if not inherited:  # the solver has declared it again
            return field
        default = cls.__dict__.get(f"default_{field.name}", field.default)
        offered = field.name in cls.shared_options
        # A subclass takes the field from the last class that has not inherited it.
        unchanged = default is field.default
        return field.evolve(default=default, init=offered, repr=offered, inherited=unchanged)

    @abstractmethod
    def weight_space(self, m: int) -> WeightSpaceConfig:
        """The map from preferences to weights, for m objectives. Raises `SpecError` when the options do not fit m."""

    def schedule(self, m: int) -> Schedule:
        """How the preferences of a step are drawn, for m objectives: the option `preferences`."""
        return self.preferences

    def model_start(self) -> Start | None:
        """What gives the model its weights beside `initial`; nothing by default. Raises `SpecError` where options are
        missing for it."""
        return None

    def search(self, m: int) -> Search | None:
        """What chooses points of a function of m objectives, where the solver `searches`; nothing by default. Raises
        `SpecError` when the options do not fit."""
        return None

    def method(self, m: int) -> Method:
        """Assemble the parts for m objectives. Raises `SpecError` when the options do not fit m."""
        return Method(
            weights=self.weight_space(m),
            preferences=self.schedule(m),
            objective=self.objective,
            balancing=self.balancing,
            initial=self.initial,
            start=self.model_start(),
            trains=self.trains,
            search=self.search(m),
        )


def _not_given(self: Solver, m: int) -> WeightSpaceConfig:
    raise MoframeworkError(f"{type(self).__name__} assembles its method itself and defines no weight_space")
