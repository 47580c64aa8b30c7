"""What those parts of a model that it is made of may use of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from moframework.inputs.trees import Tree
from moframework.model.functional import FunctionalNetwork
from moframework.model.kept import KeptWeights
from moframework.model.recipe import Recipe
from moframework.weights import WeightSpace

__all__ = ["Model"]


class Model(Protocol):
    """A `ParetoModel`, as modules see it that it imports."""

    recipe: Recipe
    space: WeightSpace
    skeleton: nn.Module
    network: FunctionalNetwork
    training: bool
    kept: KeptWeights

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the objectives."""

    def __call__(self, x: Tree, preference: Any) -> Any:
        """Outputs at a preference, by output key."""

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        """θ(λ)."""

    def call(self, weights: Mapping[str, Tensor], x: Tree) -> dict[str, Tensor]:
        """Outputs with given weights."""

    def train(self, mode: bool = True) -> Any:
        """Into training, or out of it."""

    def eval(self) -> Any:
        """Into use."""
