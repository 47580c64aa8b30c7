"""The contract of a merge: what is done to task vectors once, and how they become one at a preference."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from moframework.config import Component

__all__ = ["Merge"]


class Merge(Component, kind="merges"):
    """How m task vectors become one vector at a preference. Both steps are pure; a merge defines what differs.

    >>> import torch
    >>> from moframework.config import config
    >>> @config
    ... class Halved(Merge):
    ...     "Half of each task vector."
    ...     def edited(self, vectors):
    ...         return vectors / 2
    >>> merge = Halved()
    >>> merge.combined(merge.edited(torch.tensor([[2.0, 0.0], [0.0, 4.0]])), torch.tensor([0.5, 0.5]))
    tensor([0.5000, 1.0000])
    """

    needs_base: ClassVar[bool] = True
    """Whether it takes the vectors themselves, so that the network they start from must be known."""

    def edited(self, vectors: Tensor) -> Tensor:
        """The vectors (m, p) as they are kept: what does not depend on the preference."""
        return vectors

    def combined(self, vectors: Tensor, weights: Tensor) -> Tensor:
        """One vector (p,) of edited vectors (m, p) and a weight each (m,): their weighted sum unless it says otherwise.
        At weights that are a vertex of the simplex it is that task's edited vector."""
        return weights @ vectors
