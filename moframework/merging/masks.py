"""TALL masks and Consensus merging: entries of the merged task vector by the tasks that they matter to."""

from __future__ import annotations

from torch import Tensor

from moframework.config import config, option
from moframework.merging.base import Merge
from moframework.merging.kernels import consensus, tall_masks

__all__ = ["TALL", "Consensus"]


@config
class TALL(Merge):
    """One merged vector, and a mask of it for each task (Wang et al., ICML 2024).

    `τ = Σ_t τ_t`, `mask_t = |τ_t| ≥ κ |τ − τ_t|`, and at λ `Σ_t λ_t mask_t ⊙ τ`: at a vertex what that task needs of
    the merged vector. Kept as bits, masks are a compression of the members; here they are numbers.

    Source: arXiv 2405.07813; κ is chosen there from .2 to .6 for each task. The mixture over λ is ours.

    >>> import torch
    >>> TALL().edited(torch.tensor([[4.0, 0.0, 2.0], [0.0, 3.0, 2.0]]))  # of the sum what each task needs
    tensor([[4., 0., 4.],
            [0., 3., 4.]])
    """

    threshold: float = option(0.4, ge=0, help="threshold κ of the masks")

    def edited(self, vectors: Tensor) -> Tensor:
        """The merged vector under each mask."""
        return tall_masks(vectors, self.threshold) * vectors.sum(dim=0)


@config
class Consensus(Merge):
    """Task vectors without the entries that fewer than `least` tasks need (Wang et al., ICML 2024).

    `Σ_t λ_t τ_t` where at least `least` of the TALL masks hold, 0 elsewhere.

    Source: arXiv 2405.07813; two tasks are the paper's. Limits: with two tasks only entries that both need stay,
    so that vertices are no longer the members.

    >>> import torch
    >>> Consensus(least=2).edited(torch.tensor([[4.0, 0.0, 2.0], [0.0, 3.0, 2.0]]))  # what both tasks need
    tensor([[0., 0., 2.],
            [0., 0., 2.]])
    """

    threshold: float = option(0.4, ge=0, help="threshold κ of the masks")
    least: int = option(2, ge=1, le=10_000, help="tasks that must need an entry for it to be kept")

    def edited(self, vectors: Tensor) -> Tensor:
        """The vectors where enough masks hold."""
        return vectors * consensus(tall_masks(vectors, self.threshold), self.least)
