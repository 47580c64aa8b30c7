"""What is done to task vectors τ_t = θ_t − θ_0 of m networks that started from one: pure functions of tensors.

Shapes: m tasks, p entries; `vectors` (m, p) on any device, `weights` (m,), usually a preference. None of them changes
what it is given. NaN is passed on.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Generator, Tensor

__all__ = ["agreeing", "agreement", "consensus", "drop", "elected_signs", "tall_masks", "trimmed"]


def trimmed(vectors: Tensor, density: float) -> Tensor:
    """The share `density` of each vector's entries that are largest in magnitude; the others are 0.

    The first step of TIES (Yadav et al., NeurIPS 2023, arXiv 2306.01708, section 3). ⌊density · p⌋ entries are kept, at
    least one.

    >>> trimmed(torch.tensor([[1.0, -4.0, 2.0, 3.0]]), 0.5).tolist()
    [[0.0, -4.0, 0.0, 3.0]]
    """
    kept = max(int(density * vectors.shape[1]), 1)
    places = vectors.abs().topk(kept, dim=1).indices
    return torch.zeros_like(vectors).scatter(1, places, vectors.gather(1, places))


def drop(vectors: Tensor, share: float, generator: Generator) -> Tensor:
    """Each entry is 0 with probability `share`, and else divided by 1 − share, so that its expectation stays.

    DARE (Yu et al., ICML 2024, arXiv 2311.03099).

    Args:
        share: in [0, 1).
        generator: of the device of `vectors`.

    >>> drop(torch.ones(1, 3), 0.0, Generator()).tolist()
    [[1.0, 1.0, 1.0]]
    """
    keep = torch.rand(vectors.shape, generator=generator, device=vectors.device) >= share
    return vectors * keep / (1 - share)


def elected_signs(vectors: Tensor, weights: Tensor, by: Literal["total", "frequency"] = "total") -> Tensor:
    """The sign (p,) that wins in each entry: of `Σ_t w_t τ_t` (total), or of `Σ_t w_t sgn τ_t` (frequency). The second
    step of TIES; a tie, or nothing but zeros, elects 0 and keeps nothing.

    >>> elected_signs(torch.tensor([[1.0, -1.0], [-3.0, 1.0]]), torch.tensor([0.5, 0.5])).tolist()
    [-1.0, 0.0]
    """
    return (weights @ (vectors if by == "total" else vectors.sign())).sign()


def agreeing(vectors: Tensor, weights: Tensor, signs: Tensor, form: Literal["mean", "sum"] = "mean") -> Tensor:
    """`Σ_t w_t τ_t` (p,) over the entries whose sign is the elected one; as a mean it is divided by the sum of their
    weights. The last step of TIES. With weights of 1/m the mean is that of the paper, and m times the sum is the sum.

    Args:
        signs: (p,), −1, 0 or 1.

    >>> agreeing(torch.tensor([[1.0, 2.0], [-3.0, 4.0]]), torch.tensor([0.5, 0.5]), torch.tensor([1.0, 1.0])).tolist()
    [1.0, 3.0]
    """
    agree = ((vectors.sign() == signs) & (signs != 0)).to(vectors.dtype)
    total = weights @ (vectors * agree)
    if form == "sum":
        return total
    share = weights @ agree
    return torch.where(share != 0, total / torch.where(share != 0, share, 1), 0)


def tall_masks(vectors: Tensor, threshold: float) -> Tensor:
    """The masks (m, p) `|τ_t| ≥ κ |τ − τ_t|`, τ = Σ_t τ_t: entries of the merged vector that matter to task t.

    TALL masks (Wang et al., ICML 2024, arXiv 2405.07813), with κ = `threshold`.

    >>> tall_masks(torch.tensor([[1.0, 1.0], [0.0, 3.0]]), 0.5).tolist()
    [[True, False], [False, True]]
    """
    return vectors.abs() >= threshold * (vectors.sum(dim=0) - vectors).abs()


def consensus(masks: Tensor, least: int) -> Tensor:
    """Where at least so many of the masks (m, p) hold, (p,): what Consensus merging keeps (same paper).

    >>> consensus(torch.tensor([[True, True], [False, True]]), 2).tolist()
    [False, True]
    """
    return masks.sum(dim=0) >= least


def agreement(one: Tensor, other: Tensor) -> float:
    """The cosine of two flat tensors, 1 where both are 0 and 0 where one is.

    >>> agreement(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0]))  # doctest: +ELLIPSIS
    0.7071...
    """
    one, other = one.double(), other.double()
    sizes = float(one.norm()) * float(other.norm())
    if sizes == 0:
        return 1.0 if torch.equal(one, other) else 0.0
    cosine = float(one @ other) / sizes
    return cosine if math.isnan(cosine) else min(1.0, max(-1.0, cosine))
