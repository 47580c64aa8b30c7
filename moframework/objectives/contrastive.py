"""A contrastive term on what a weight space makes of preferences: neighbors alike, distant ones apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from moframework.config import config, option
from moframework.errors import SpecError
from moframework.objectives.base import Scalarization, inner_faults
from moframework.objectives.linear import Linear

__all__ = ["Contrastive", "contrast"]


@config
class Contrastive(Scalarization):
    """A scalarization plus a contrastive term on the embeddings of a step's preferences (after HyperPALoRA, NeurIPS
    2025 workshop, openreview VXlm0zf2a5), `inner + κ (1 − progress) R`.

    R keeps the embeddings e_j of near preferences alike and those of distant ones apart: InfoNCE with soft targets, as
    `contrast` has it. Of that work the abstract was read, which says that much; the form, its weight, temperature and
    width are ours. It fades out over the training, so that what is found at its end is due to the losses alone.

    For weight spaces that compute weights from features of λ: `hyper_lora`, `hypernetwork`, `chunked_hypernetwork`.

    >>> objective, preferences = Contrastive(coefficient=1.0), torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    >>> state = objective.build(m=2, r=3)
    >>> round(float(objective.of_embeddings(torch.ones_like, preferences, state)), 2)  # all alike: log 2
    0.69
    >>> round(float(objective.of_embeddings(torch.clone, preferences, state)), 2)  # near ones alike, distant ones not
    0.29
    """

    separable: ClassVar[bool] = False
    inner: Scalarization = option(factory=Linear, help="how each preference's losses become one scalar")
    coefficient: float = option(0.01, ge=0, help="weight κ of the term at the start; it falls to 0 over the training")
    temperature: float = option(0.5, gt=0, help="temperature τ of the cosines between embeddings")
    width: float = option(0.2, gt=0, help="distance σ at which preferences begin to count as distant")

    @property
    def reviews(self) -> bool:
        """As the inner objective."""
        return self.inner.reviews

    def faults(self, m: int, r: int) -> list[str]:
        """See `Objective.faults`."""
        own = ["compares the preferences of a step: preferences.per_batch must be at least 3"] if r < 3 else []
        return own + inner_faults(self.inner, m, r)

    def build(self, m: int, r: int) -> nn.Module:
        """How much of κ is left, and the state of the inner objective."""
        return _State(self.inner.build(m, r))

    def review(self, before: Tensor, after: Tensor, state: nn.Module | None) -> None:
        """Handed to the inner objective."""
        self.inner.review(before, after, cast(_State, state).inner)

    def epoch_ended(self, state: nn.Module | None) -> None:
        """Handed to the inner objective."""
        self.inner.epoch_ended(cast(_State, state).inner)

    def progressed(self, progress: float, state: nn.Module | None) -> None:
        """See `Objective.progressed`: κ falls evenly."""
        own = cast(_State, state)
        own.left.fill_(1 - progress)
        self.inner.progressed(progress, own.inner)

    def __call__(self, losses: Tensor, preferences: Tensor, state: nn.Module | None = None) -> Tensor:
        """The inner objective."""
        inner = None if state is None else cast(_State, state).inner
        return self.inner(losses, preferences) if inner is None else self.inner(losses, preferences, inner)

    def penalty(self, losses: Tensor, preferences: Tensor) -> Tensor | None:
        """That of the inner objective."""
        return self.inner.penalty(losses, preferences)

    def of_embeddings(
        self, embedded: Callable[[Tensor], Tensor | None], preferences: Tensor, state: nn.Module | None = None
    ) -> Tensor:
        """κ (1 − progress) R. See `Objective.of_embeddings`.

        Raises:
            SpecError: the weight space has no embeddings.
        """
        embeddings = embedded(preferences)
        if embeddings is None:
            raise SpecError(
                "solver.objective: contrastive compares what a weight space computes from each preference, and this "
                "one computes nothing: use it with hyper_lora, phn or phn_hvi, or take its inner objective alone"
            )
        left = 1.0 if state is None else cast(_State, state).left
        return self.coefficient * left * contrast(embeddings, preferences, self.temperature, self.width)


class _State(nn.Module):
    """What is left of κ, and the inner objective's state."""

    left: Tensor

    def __init__(self, inner: nn.Module | None) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("left", torch.ones(()))


def contrast(embeddings: Tensor, preferences: Tensor, temperature: float = 0.5, width: float = 0.2) -> Tensor:
    """`mean_j KL(p_j ‖ q_j)` with p_jk ∝ exp(−‖λ_j − λ_k‖²/σ²) and q_jk ∝ exp(cos(e_j, e_k)/τ) over k ≠ j: 0 where
    embeddings are as alike as preferences are near, up to what cosines can tell.

    Args:
        embeddings: (r, e).
        preferences: (r, m), r at least 3: with a single other one there is nothing to compare.
        temperature: τ.
        width: σ.

    Returns:
        a scalar, differentiable in the embeddings.

    >>> from torch import eye
    >>> float(contrast(eye(3), eye(3)))  # all equally far apart, and so are the embeddings
    0.0
    """
    r = len(preferences)
    own = torch.eye(r, dtype=torch.bool, device=embeddings.device)
    unit = functional.normalize(embeddings, dim=1)
    found = (unit @ unit.t() / temperature).masked_fill(own, -torch.inf).log_softmax(dim=1)
    at = preferences.to(embeddings)
    wanted = (-torch.cdist(at, at).square() / width**2).masked_fill(own, -torch.inf).softmax(dim=1)
    others = ~own
    return functional.kl_div(found[others], wanted[others], reduction="sum") / r
