"""A weight space over a part of its simplex, which the whole simplex then stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.errors import SpecError
from moframework.inputs.form import InputForm, InputShape
from moframework.weights.base import WeightSpace, WeightSpaceConfig
from moframework.weights.remapped import RemappedSpace

__all__ = ["Restricted", "RestrictedSpace", "unrestricted"]

_ROUNDING = 1e-5


@config
class Restricted(WeightSpaceConfig):
    """Another weight space at Σ_t λ_t v_t in the place of λ: its simplex is that of the vertices v_t.

    Training under `constraints` leaves such a space: the vertices are those of the part of the simplex whose operating
    points meet the constraints. Whatever takes a preference (predictions, servers, exports) then stays inside. A
    solver's option it is not: which part that is shows after the training.

    >>> from moframework.weights.convex_hull import ConvexHull
    >>> Restricted(space=ConvexHull(), vertices=((1.0, 0.0), (0.4, 0.6))).vertices
    ((1.0, 0.0), (0.4, 0.6))
    """

    space: WeightSpaceConfig = option(help="the weight space of which this is a part")
    vertices: tuple[tuple[float, ...], ...] = option(
        help="for each task the preference that λ = 1 of this task stands for, m numbers that add up to 1"
    )

    def __attrs_post_init__(self) -> None:
        m = len(self.vertices)
        for t, row in enumerate(self.vertices):
            if len(row) != m or min(row) < 0 or abs(sum(row) - 1) > _ROUNDING:
                raise OptionError(
                    f"vertices are {m} preferences of {m} numbers that are not negative and add up to 1, but number "
                    f"{t} is ({', '.join(f'{value:g}' for value in row)})",
                    "vertices",
                )

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """The other space, and its part. Raises `SpecError` where it is a finite set, or not of m tasks."""
        if len(self.vertices) != m:
            raise SpecError(f"weights.vertices: are of {len(self.vertices)} tasks; the problem has {m}")
        return RestrictedSpace(self.space.build(make, m, initial), torch.tensor(self.vertices))

    def network(self, backbone: Callable[[InputShape], nn.Module], inputs: InputForm | InputShape, m: int) -> nn.Module:
        """What the other space needs."""
        return self.space.network(backbone, inputs, m)


class RestrictedSpace(RemappedSpace):
    """θ'(λ) = θ(λ V), with the vertices as rows of V (m, m).

    Raises:
        SpecError: the space is a finite set, of which nothing lies between its preferences.
    """

    def __init__(self, space: WeightSpace, vertices: Tensor) -> None:
        super().__init__(space, vertices)
        if space.anchors() is not None:
            raise SpecError("weights.space: is a finite set of preferences, which has no part to be restricted to")


def unrestricted(space: WeightSpace) -> WeightSpace:
    """The space itself, or the one that it is a part of."""
    return space.space if isinstance(space, RestrictedSpace) else space
