"""Orthogonal regularization of low-rank adapters."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["orthogonality"]


def orthogonality(b: Tensor, a: Tensor, eps: float = 1e-8) -> Tensor:
    """How far the adapters B_t A_t of one layer are from orthogonal (LORPMAN, ICML 2024, arXiv 2407.20734).

    `Σ_{s≠t} cos²(B_s A_s, B_t A_t)`: the squared off-diagonal entries of WᵀW, where the columns of W are the flattened
    products, normalized. The products are never formed: ⟨B_s A_s, B_t A_t⟩ = ⟨B_sᵀ B_t, A_s A_tᵀ⟩.

    Args:
        b: left factors (m, out, q).
        a: right factors (m, q, in).
        eps: added to the squared norm of a product, so that adapters which start at zero give 0 with gradient 0.

    Returns:
        a scalar in [0, m(m−1)].

    >>> b = torch.eye(2).unsqueeze(2)  # two adapters, each with one row of the product
    >>> float(orthogonality(b, torch.ones(2, 1, 3)))
    0.0
    """
    left = torch.einsum("soq,top->stqp", b, b)
    right = torch.einsum("sqi,tpi->stqp", a, a)
    gramian = (left * right).sum(dim=(2, 3))
    squared_norms = gramian.diagonal() + eps
    cosines = gramian.square() / torch.outer(squared_norms, squared_norms)
    return (cosines - cosines.diagonal().diag()).sum()
