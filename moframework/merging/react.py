"""ReACT: features of one merged network mapped to those of the members, in closed form, in front of the heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from attrs import frozen
from torch import Tensor, nn

from moframework.config import Trust, config
from moframework.data import Dataset, batches
from moframework.data.sampling import evenly_spread
from moframework.errors import SpecError
from moframework.inputs import HowToCall, Tree, called
from moframework.merging.base import Merge
from moframework.merging.members import Members
from moframework.merging.space import TaskVectors
from moframework.merging.start import FromMembers
from moframework.model import ParetoModel
from moframework.problem import Problem
from moframework.weights import WeightSpace, WeightSpaceConfig

__all__ = ["AlignedHeads", "AlignedHeadsSpace", "ReACTStart", "feature_map", "map_at", "moments"]

_BATCH = 500


def moments(member: Tensor, merged: Tensor) -> tuple[Tensor, Tensor]:
    """`Z_ind Z_mtlᵀ` and `Z_mtl Z_mtlᵀ` of features (n, D) of the same n inputs, each (D, D), in double precision."""
    one, other = member.double(), merged.double()
    return one.T @ other, other.T @ other


def feature_map(cross: Tensor, covariance: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """`Ŵ_t C_t` and `C_t`, where Ŵ_t is the ridge regression from merged features to a member's that leans to the
    nearest rotation instead of to 0: `Ŵ_t = (Z_ind Z_mtlᵀ + β W_orth) C_t⁻¹`, `C_t = Z_mtl Z_mtlᵀ + β I`,
    `W_orth = U Vᵀ` of the singular vectors of `Z_ind Z_mtlᵀ`.

    >>> top, bottom = feature_map(torch.eye(2).double(), torch.eye(2).double(), 0.5)
    >>> map_at(top[None], bottom[None], torch.ones(1))
    tensor([[1., 0.],
            [0., 1.]])

    Args:
        cross, covariance: as of `moments`.
        beta: at least 0.
    """
    left, _, right = torch.linalg.svd(cross)
    return cross + beta * left @ right, covariance + beta * torch.eye(len(cross), dtype=cross.dtype)


def map_at(tops: Tensor, bottoms: Tensor, preference: Tensor) -> Tensor:
    """`W_p = (Σ p_t Ŵ_t C_t)(Σ p_t C_t)⁻¹` (D, D), in float32.

    Args:
        tops, bottoms: (m, D, D), as of `feature_map`.
        preference: (m,).
    """
    weights = preference.to(tops)
    top, bottom = (torch.einsum("t,tij->ij", weights, each) for each in (tops, bottoms))
    # X bottom = top, bottom being symmetric and positive.
    solved: Tensor = torch.linalg.solve(bottom, top.T)
    return solved.T.float()


@config
class AlignedHeads(WeightSpaceConfig):
    """One merged network whose heads read `W_p z` in the place of its features z (ReACT, arXiv 2511.10943).

    W_p is linear, so it is multiplied into the first layer of each head: `head.weight W_p`, over the channels that it
    reads where that is a convolution. Held are the network and 2 m D² numbers for D features.

    >>> heads, eye = {"left": nn.Linear(2, 1), "right": nn.Linear(2, 1)}, torch.eye(2)
    >>> space = AlignedHeads().build(lambda: nn.ModuleDict(heads), m=2, initial=None)
    >>> space.align(["left.weight", "right.weight"], torch.stack([eye, 3 * eye]), torch.stack([eye, eye]))
    >>> space.weights(torch.tensor([0.5, 0.5]))["left.weight"] / heads["left"].weight.detach()  # ½ · 1 + ½ · 3
    tensor([[2., 2.]])
    """

    def build(self, make: Callable[[], nn.Module], m: int, initial: Mapping[str, Tensor] | None) -> WeightSpace:
        """The space around one network made by `make`, whose features stay as they are until it is given maps."""
        network = make()
        if initial is not None:
            network.load_state_dict(dict(initial), strict=False)
        return AlignedHeadsSpace(network, m)


class AlignedHeadsSpace(WeightSpace):
    """θ(λ): the merged network, and the first layer of each head times W_p(λ)."""

    tops: nn.Parameter
    bottoms: nn.Parameter
    first: Tensor

    def __init__(self, network: nn.Module, m: int) -> None:
        super().__init__()
        self.stored = TaskVectors(network, 0)
        self.tops = nn.Parameter(torch.zeros(m, 0, 0, dtype=torch.float64), requires_grad=False)
        self.bottoms = nn.Parameter(torch.zeros(m, 0, 0, dtype=torch.float64), requires_grad=False)
        # Where in the network's parameters the first layer of each head is.
        self.register_buffer("first", torch.zeros(m, dtype=torch.int64))
        self.register_load_state_dict_pre_hook(_resize)  # type: ignore[no-untyped-call]

    def align(self, first: Sequence[str], tops: Tensor, bottoms: Tensor) -> None:
        """Take over the maps (m, D, D), and the names of the heads' first weights."""
        self.tops.data, self.bottoms.data = tops, bottoms
        self.first.copy_(torch.tensor([self.stored.names.index(name) for name in first]))

    def weights(self, preference: Tensor) -> dict[str, Tensor]:
        """See `WeightSpace.weights`."""
        theta = self.stored.named(self.stored.base)
        if self.tops.shape[1]:
            mapping = map_at(self.tops, self.bottoms, preference)
            for place in self.first.tolist():
                name = self.stored.names[place]
                theta[name] = torch.einsum("oi...,ij->oj...", theta[name], mapping.to(theta[name]))
        return theta


def _resize(space: AlignedHeadsSpace, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """How many features there are is known from the file."""
    for own, key in ((space.tops, "tops"), (space.bottoms, "bottoms")):
        if f"{prefix}{key}" in state:
            own.data = own.data.new_zeros(state[f"{prefix}{key}"].shape)


@frozen(kw_only=True)
class ReACTStart:
    """Merges the members at the center, and finds the maps from inputs of the training split; no label is read.

    Attributes:
        gather: reads the members.
        merge, scale: as of solver soup.
        beta: weight of the rotation.
        share: of the training samples, at most.
    """

    gather: FromMembers
    merge: Merge
    scale: float
    beta: float
    share: float

    @torch.no_grad()
    def __call__(self, model: ParetoModel, problem: Problem, data: Dataset, trust: Trust) -> Sequence[str]:
        """See `engine.method.Start`. Raises `SpecError` where `first_layers` does."""
        found = self.gather.gathered(model, problem, data, trust)
        space, m = cast(AlignedHeadsSpace, model.space), len(model.tasks)
        first = first_layers(model.recipe.make(), found.heads, model.tasks)
        vectors = TaskVectors(model.recipe.make(), m)
        vectors.take(found.members, found.heads)
        center = self.merge.combined(self.merge.edited(vectors.vectors), torch.full((m,), 1 / m))
        space.stored.base.copy_(vectors.base + self.scale * center)
        size = max(int(self.share * len(data)), 2)  # type: ignore[arg-type]
        inputs = [x for x, _ in batches(evenly_spread(data, size), _BATCH, order=None, device="cpu")]
        even, norms = [1.0] * m, bool(model.norms())
        merged = model.at(even, calibrate=inputs) if norms else model.at(even)
        tops, bottoms = zip(*self._maps(model, merged, found.members, first, inputs), strict=True)
        space.align(first, torch.stack(tops), torch.stack(bottoms))
        return [*found.told, f"features of {size:,} training samples mapped in front of {', '.join(first)}"]

    def _maps(
        self, model: ParetoModel, merged: nn.Module, members: Members, first: Sequence[str], inputs: Sequence[Tree]
    ) -> list[tuple[Tensor, Tensor]]:
        how, found = model.network.how, []
        for state, name in zip(members.states, first, strict=True):
            network = model.recipe.make()
            network.load_state_dict(dict(state))
            # Batch by batch: features of each pixel of all inputs may be more than the memory holds.
            each = [moments(*(features(one, name, [x], how) for one in (network, merged))) for x in inputs]
            cross, covariance = (torch.stack(part).sum(0) for part in zip(*each, strict=True))
            found.append(feature_map(cross, covariance, self.beta))
        return found


def first_layers(network: nn.Module, heads: Sequence[Sequence[str]], tasks: Sequence[str]) -> list[str]:
    """The weight of the linear layer, or convolution in one group, that each head begins with.

    Raises:
        SpecError: a task has no head, or heads begin with another layer or read features of different widths.
    """
    found = []
    for task, names in zip(tasks, heads, strict=True):
        prefix = names[0].rpartition(".")[0] if names else ""
        if not names or not _linear(network.get_submodule(prefix)):
            raise SpecError(
                f"solver: react maps features in front of each task's own head, which has to begin with a linear "
                f"layer or a convolution in one group; that of '{task}' "
                + (f"begins with {prefix}" if names else "was not found (solver.heads)")
            )
        found.append(f"{prefix}.weight")
    widths = {network.get_parameter(name).shape[1] for name in found}
    if len(widths) > 1:
        raise SpecError(f"solver: react needs heads that read the same features; theirs have {sorted(widths)} entries")
    return found


def _linear(layer: nn.Module) -> bool:
    """Whether the layer mixes all of its input's features, or channels, by a matrix."""
    convolution = isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d) and layer.groups == 1
    return convolution or isinstance(layer, nn.Linear)


@torch.no_grad()
def features(network: nn.Module, name: str, inputs: Sequence[Tree], how: HowToCall) -> Tensor:
    """What the layer with the weight `name` reads, (n, D), for batches of inputs, in use; for each pixel of images."""
    seen: list[Tensor] = []
    layer = network.get_submodule(name.rpartition(".")[0])
    last = -1 if isinstance(layer, nn.Linear) else 1
    handle = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0].movedim(last, -1).flatten(0, -2)))
    try:
        for x in inputs:
            called(network.eval(), x, how)
    finally:
        handle.remove()
    return torch.cat(seen)
