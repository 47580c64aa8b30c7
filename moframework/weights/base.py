"""The contract of a weight space, and of the options that build one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from moframework.config import Component

__all__ = ["WeightSpace", "WeightSpaceConfig"]


class WeightSpace(nn.Module, ABC):
    """A map from preferences to weights, λ ∈ Δ^{m-1} ↦ θ(λ). It owns all trainable parameters of a model.

    Shapes: `m` objectives; θ(λ) has the names and shapes of the backbone's `named_parameters()` (tied parameters appear
    once, under their first name).
    """

    @abstractmethod
    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        """θ(λ): the complete parameter dict of the backbone for one preference (m,), differentiable in the parameters.

        Must be cheap next to one forward pass of the backbone.
        """

    @abstractmethod
    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """Groups for a torch optimizer with base learning rate `lr`; each names itself in `name` and covers `params`
        with its own `lr`. Together the groups hold every parameter exactly once."""

    def anchors(self) -> Tensor | None:
        """The preferences (n, m) a finite space can realize, or None when every λ on the simplex has its own
        weights."""
        return None

    def penalty(self) -> Tensor | None:
        """A scalar to add to the training objective, or None."""
        return None


class WeightSpaceConfig(Component, kind="weights"):
    """Options of a weight space; `build` makes the space for a given backbone."""

    @abstractmethod
    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """Make the space for m objectives.

        Args:
            make: builds one freshly initialized backbone each time it is called, drawing from torch's random generator.
            m: number of objectives, at least 1.
            initial: parameters to start from in place of the fresh ones, by name, or None.

        Raises:
            SpecError: the backbone offers nothing that this space could adapt, or an option does not fit m.
        """
