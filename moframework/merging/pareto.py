"""Pareto Merging: a merged network with low-rank parts that depend on the preference, trained without labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, cast

import torch
from attrs import frozen
from torch import Tensor, nn

from moframework.config import Trust, config, option
from moframework.data import Dataset
from moframework.errors import SpecError
from moframework.losses import BinaryCrossEntropy, CrossEntropy
from moframework.merging.base import Merge
from moframework.merging.members import Members
from moframework.merging.space import TaskVectors
from moframework.merging.start import FromMembers
from moframework.model import ParetoModel
from moframework.problem import Problem
from moframework.weights import WeightSpace, WeightSpaceConfig
from moframework.weights.adapted import Form
from moframework.weights.bilinear import Bilinear, BilinearSpace

__all__ = ["ParetoMerged", "ParetoMergedSpace", "ParetoMergingStart"]


_TRIVIAL = (
    "entropy is least where all samples get one class, which long trainings and large learning rates end in: compare "
    "the fronts with those of solver soup"
)


@config
class ParetoMerged(WeightSpaceConfig):
    """A frozen merged network and adapters with a core, `W(γ) = W_base + B (Σ_t γ_t G_t) A` (Pareto Merging, arXiv
    2408.12105, where it is a Tucker product `G ×₁ A ×₂ B ×₃ γ`): `bilinear` around what was merged, with α = r.

    Heads are those of the members that trained them, and have no adapters that move.

    >>> space = ParetoMerged(rank=1).build(lambda: nn.Linear(3, 2), m=2, initial=None)
    >>> sum(p.numel() for group in space.parameter_groups(lr=1.0) for p in group["params"])  # 1 · (3 + 2) + 2 · 1²
    7
    """

    rank: int = option(4, ge=1, le=4096, help="inner rank r of the adapters")
    conv: Form = option("loralib", help="form of the adapters of convolutions: loralib, peft or separable")

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """The space around one network made by `make`, until it is given members."""
        options = Bilinear(rank=self.rank, alpha=float(self.rank), train_base=False, conv=self.conv)
        return ParetoMergedSpace(BilinearSpace(make(), m, options, initial))


class ParetoMergedSpace(WeightSpace):
    """W_base + B (Σ_t γ_t G_t) A, and how far it is from each member.

    Attributes:
        inner: the base, frozen, and its adapters.
    """

    group = "adapters"
    makes_losses = True

    targets: Tensor
    sizes: Tensor
    unit: Tensor

    def __init__(self, inner: BilinearSpace) -> None:
        super().__init__()
        self.inner = inner
        self._aimed: list[str] = []  # adapted weights that have a target

    @torch.no_grad()
    def begin(self, base: Mapping[str, Tensor], heads: Sequence[Sequence[str]]) -> None:
        """Let the base be this network; adapters of heads stay at zero."""
        for name, parameter in self.inner._by_name().items():
            parameter.copy_(base[name])
        owned = {name for names in heads for name in names}
        for place, adapter in enumerate(self.inner.adapted):
            for values in self.inner.factors.values():
                values[place].requires_grad_(adapter.name not in owned)

    @torch.no_grad()
    def aim(self, members: Members, heads: Sequence[Sequence[str]]) -> None:
        """Let `own_losses` be distances to these members from now on. They are held beside the space, not saved.

        Raises:
            SpecError: nothing but heads has adapters, so no distance could change.
        """
        owned = {name for names in heads for name in names}
        base = {name: value for name, value in self.inner._by_name().items() if name not in owned}
        adapted = {adapter.name for adapter in self.inner.adapted}
        self._aimed = [name for name in base if name in adapted]
        if not self._aimed:
            raise SpecError(
                "solver: pareto_merging moves what members have in common, but all weights that can have adapters are "
                "in heads of single tasks; name the heads (solver.heads), or use another solver"
            )
        offsets = [
            {name: state[name].float() - value.float() for name, value in base.items()} for state in members.states
        ]
        flat = torch.stack([torch.cat([own[name].flatten() for name in self._aimed]) for own in offsets])
        sizes = torch.stack([sum_of_squares(own.values()) for own in offsets])
        self.register_buffer("targets", flat, persistent=False)
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("unit", sizes.mean().clamp_min(torch.finfo(torch.float32).tiny), persistent=False)

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        return self.inner.weights(preference)

    def weights_of(self, preferences: Tensor) -> list[dict[str, Tensor]]:
        """See `WeightSpace.weights_of`."""
        return self.inner.weights_of(preferences)

    def own_losses(self, preferences: Tensor) -> Tensor | None:
        """`‖θ(γ) − θ_t‖²` of each member t without heads, in units of the mean of the members' `‖W_base − θ_t‖²`,
        (r, m); None where there is no aim.

        With Δ what adapters add and τ_t the member's offset it is `‖Δ‖² − 2 ⟨Δ, τ_t⟩ + ‖τ_t‖²`.
        """
        if not self._aimed:
            return None
        base = self.inner._by_name()
        deltas = torch.stack(
            [
                torch.cat([(theta[name] - base[name]).flatten().to(self.targets) for name in self._aimed])
                for theta in self.inner.weights_of(preferences)
            ]
        )
        squares = deltas.square().sum(dim=1, keepdim=True) - 2 * deltas @ self.targets.T + self.sizes
        return squares / self.unit

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """All that moves, at `lr`."""
        return [{"name": self.group, "params": [p for p in self.parameters() if p.requires_grad], "lr": lr}]

    def named_storage(self) -> list[tuple[tuple[str, ...], Tensor]]:
        """See `WeightSpace.named_storage`; names are those of `bilinear`."""
        return [(names, value) for names, value in self.inner.named_storage() if value.requires_grad]


def sum_of_squares(values: Iterable[Tensor]) -> Tensor:
    """Over all entries of all tensors, a scalar of float32.

    >>> sum_of_squares([torch.ones(2, 2), torch.tensor([3.0])])
    tensor(13.)
    """
    return torch.stack([value.double().square().sum() for value in values]).sum().float()


@frozen(kw_only=True)
class ParetoMergingStart:
    """Merges the members into the base, and says what training goes for.

    Attributes:
        gather: reads the members.
        merge, scale: as of solver soup.
        loss: `distance` to the members, or `entropy` of predictions, which is the method's loss.
    """

    gather: FromMembers
    merge: Merge
    scale: float
    loss: Literal["distance", "entropy"]

    def __call__(self, model: ParetoModel, problem: Problem, data: Dataset, trust: Trust) -> Sequence[str]:
        """See `engine.method.Start`. Raises `SpecError` where a task has no classes whose entropy there is."""
        for task in problem.tasks if self.loss == "entropy" else ():
            if not isinstance(task.loss, CrossEntropy | BinaryCrossEntropy):
                raise SpecError(
                    f"solver.loss: entropy is that of classes, but the loss of task '{task.name}' is "
                    f"{type(task.loss).__name__}; take loss: distance, which needs no outputs"
                )
        found = self.gather.gathered(model, problem, data, trust)
        space, m, told = cast(ParetoMergedSpace, model.space), len(model.tasks), [*found.told]
        vectors = TaskVectors(model.recipe.make(), m)
        vectors.take(found.members, found.heads)
        center = self.merge.combined(self.merge.edited(vectors.vectors), torch.full((m,), 1 / m))
        space.begin(vectors.named(vectors.base + self.scale * center), found.heads)
        if self.loss == "entropy":
            return [*told, _TRIVIAL]
        space.aim(found.members, found.heads)
        if model.norms():
            told.append(
                "distances are trained without a pass through the network, so statistics of BatchNorm layers stay the "
                "members' mean: set evaluate.batchnorm: recalibrate"
            )
        return told
