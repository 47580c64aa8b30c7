"""Where low-rank adapters begin other than at B = 0: at the principal part of their weights, or at random.

What the adapters come to at the center of the simplex is taken off the shared network, so that θ(center) is the network
that was given. The principal part is the same for all tasks, so that every other θ(λ) is that network too.

Shapes: A (m·q, columns) and B (rows, m·q) of a weight, with q rows, or columns, for each of m tasks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from moframework.weights.adapted import Adapter
from moframework.weights.base import WeightSpace
from moframework.weights.low_rank import LowRankSpace
from moframework.weights.remapped import unmapped

__all__ = ["factors_of", "start_nonzero", "start_principal"]


def factors_of(vector: Tensor, adapter: Adapter, scale: float) -> tuple[Tensor, Tensor, float]:
    """A (q, columns) and B (rows, q) for which `scale · B A` is nearest to a task vector, or a weight (Eckart and
    Young: the first q singular values, shared evenly by both), and the squared norm of what is left.

    Args:
        vector: of the weight's shape.
        adapter: shapes of the factors.
    """
    ordered = vector if adapter.order is None else vector.permute(adapter.order)
    matrix = ordered.reshape(adapter.rows, adapter.columns).double()
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    q = min(adapter.inner, len(values))
    roots = (values[:q] / scale).sqrt()
    a, b = (matrix.new_zeros(size) for size in ((adapter.inner, adapter.columns), (adapter.rows, adapter.inner)))
    a[:q], b[:, :q] = roots[:, None] * right[:q], left[:, :q] * roots
    return a, b, float(values[q:].square().sum())


@torch.no_grad()
def start_principal(space: WeightSpace) -> float:
    """Let the adapter of every task be the principal part of its weight, and the shared network the rest: PiSSA (Meng,
    Wang and Zhang, NeurIPS 2024, arXiv 2404.02948), with a copy of the adapter for each task.

    Where the rank exceeds that of the weight, rows of A beyond it stay as they are, with columns of B that are zero.

    Args:
        space: of low-rank adapters with B = 0, or one that mixes their preferences; changed in place.

    Returns:
        the share of the norm of all adapted weights that adapters hold.

    >>> from moframework.weights.low_rank import LowRank
    >>> network, at = nn.Linear(8, 6), torch.tensor([0.2, 0.8])
    >>> space = LowRank(rank=2).build(lambda: network, m=2, initial=None)
    >>> share = start_principal(space)
    >>> torch.allclose(space.weights(at)["weight"], network.weight, atol=1e-6)
    True
    >>> torch.linalg.matrix_rank(network.weight - space.shared[0]).item()
    2
    """
    own = cast(LowRankSpace, unmapped(space))
    whole = lost = 0.0
    for adapter, weight, a, b in _adapted(own):
        first, second, rest = factors_of(weight, adapter, own.scale)
        kept = min(adapter.inner, adapter.rows, adapter.columns)
        a.view(own.m, adapter.inner, adapter.columns)[:, :kept] = first[:kept].to(a)
        b.copy_(second.to(b).repeat(1, own.m))
        whole, lost = whole + float(weight.double().square().sum()), lost + rest
    _take_center_off(space, own)
    return math.sqrt(max(1 - lost / whole, 0.0)) if whole else 0.0


@torch.no_grad()
def start_nonzero(space: WeightSpace, deviation: float) -> float:
    """Draw B from a normal distribution, by torch's own generator, so that λ matters before the first step.

    For one adapter: Li et al., ICML 2025, arXiv 2505.23194, who take B A off the network as well. Rows of padding of an
    embedding stay as they are.

    Args:
        space: as of `start_principal`.
        deviation: of the entries of B.

    Returns:
        how far θ is from the network at the vertices of the simplex, in root mean square over them, as a share of the
        norm of all adapted weights.

    >>> from moframework.weights.low_rank import LowRank
    >>> network = nn.Linear(8, 6)
    >>> space = LowRank(rank=2).build(lambda: network, m=2, initial=None)
    >>> start_nonzero(space, 0.1) > 0
    True
    >>> torch.allclose(space.weights(torch.tensor([0.5, 0.5]))["weight"], network.weight, atol=1e-6)
    True
    >>> torch.equal(space.weights(torch.tensor([1.0, 0.0]))["weight"], network.weight)
    False
    """
    own = cast(LowRankSpace, unmapped(space))
    before = {adapter.name: weight.clone() for adapter, weight, *_ in _adapted(own)}
    for adapter, _, _, b in _adapted(own):
        b.normal_(std=deviation)
        if adapter.padding is not None:
            b[adapter.padding] = 0
    _take_center_off(space, own)
    whole = sum(float(weight.double().square().sum()) for weight in before.values())
    away = 0.0
    for theta in space.weights_of(torch.eye(own.m)):
        away += sum(float((theta[name] - weight).double().square().sum()) for name, weight in before.items())
    return math.sqrt(away / own.m / whole) if whole else 0.0


def _adapted(space: LowRankSpace) -> Sequence[tuple[Adapter, nn.Parameter, nn.Parameter, nn.Parameter]]:
    """For each adapted weight its adapter, W0, A and B."""
    shared = space._by_name()
    return [(each, shared[each.name], a, b) for each, a, b in zip(space.adapted, space.a, space.b, strict=True)]


def _take_center_off(space: WeightSpace, own: LowRankSpace) -> None:
    theta = space.weights(torch.full((own.m,), 1 / own.m))
    for adapter, weight, *_ in _adapted(own):
        weight.sub_(theta[adapter.name] - weight)
