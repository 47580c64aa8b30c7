"""A weight space behind a linear map of the preference.

So are members that stand for other preferences than the vertices (`mixed`), and a dial that is limited to a part of the
simplex (`restricted`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from torch import Tensor

from moframework.weights.base import WeightSpace

__all__ = ["RemappedSpace", "unmapped"]


class RemappedSpace(WeightSpace):
    """θ'(λ) = θ(λ R).

    Args:
        space: gives θ; may be one of these itself.
        rows: R (m, m): row t is what λ = e_t stands for.
    """

    rows: Tensor

    def __init__(self, space: WeightSpace, rows: Tensor) -> None:
        super().__init__()
        self.space = space
        self.register_buffer("rows", rows.float(), persistent=False)

    def inside(self, preferences: Tensor) -> Tensor:
        """What the innermost space is given for preferences (m,) or (r, m)."""
        found = preferences @ self.rows.to(preferences.device, preferences.dtype)
        return self.space.inside(found) if isinstance(self.space, RemappedSpace) else found

    def _mapped(self, preferences: Tensor) -> Tensor:
        return preferences.to(self.rows, non_blocking=True) @ self.rows

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        return self.space.weights(self._mapped(preference))

    def weights_of(self, preferences: Tensor) -> list[dict[str, Tensor]]:
        """See `WeightSpace.weights_of`."""
        return self.space.weights_of(self._mapped(preferences))

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """Those of the other space."""
        return self.space.parameter_groups(lr)

    def named_storage(self) -> list[tuple[tuple[str, ...], Tensor]]:
        """See `WeightSpace.named_storage`."""
        return self.space.named_storage()

    def separate(self, key: Callable[[str], Hashable]) -> None:
        """See `WeightSpace.separate`."""
        self.space.separate(key)

    def penalty(self) -> Tensor | None:
        """That of the other space."""
        return self.space.penalty()

    def embedded(self, preferences: Tensor) -> Tensor | None:
        """See `WeightSpace.embedded`."""
        return self.space.embedded(self._mapped(preferences))

    def progressed(self, progress: float) -> None:
        """See `WeightSpace.progressed`."""
        self.space.progressed(progress)


def unmapped(space: WeightSpace) -> WeightSpace:
    """The space itself, or the innermost one behind such maps."""
    while isinstance(space, RemappedSpace):
        space = space.space
    return space
