"""TorchJD's weightings and aggregators, by name: what the package keeps is not written again.

TorchJD (https://torchjd.org, MIT) is optional: `pip install 'moframework[torchjd]'`. Its methods know m tasks and no
preference; here a preference λ enters in one of three ways, and equal preferences always give the method itself.

- `gradients`: the method sees the gradients of m λ_t L_t. For methods whose result follows the scale of a gradient.
- `weights`: the method sees the gradients of L_t, and its weights are multiplied by m λ_t. For methods whose result
  does not depend on the scale (λ would have no effect) or shrinks with it (λ would act the wrong way round).
- `vector`: the method has a preference vector of its own.

A task that a batch has no label of is left out: the method is asked about the others.

Not here, because they are written anew: NashMTL (`nash_mtl`, exact without cvxpy), MoDo, SDMGrad, CR-MOGM, ExcessMTL
and the scalarizers, which keep their state in checkpoints here.
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from importlib.util import find_spec
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from moframework.config import config, option
from moframework.objectives.base import Aggregation, Objective, Weighting, wrong_length
from moframework.objectives.gramian import dual_cone_weights
from moframework.objectives.presence import unknown_of

__all__ = [
    "IMTLG",
    "MGDA",
    "AlignedMTL",
    "CAGrad",
    "ConFIG",
    "DualProj",
    "FairGrad",
    "GradDrop",
    "GradVac",
    "PCGrad",
    "UPGrad",
    "dual_cone_projector",
]

Tilt = Literal["gradients", "weights", "vector"]


class _FromTorchJD(Objective):
    """What all have in common: an object of TorchJD, made once for each state."""

    extra: ClassVar[str] = "torchjd"
    packages: ClassVar[tuple[str, ...]] = ("torchjd",)
    tilt: ClassVar[Tilt]

    @abstractmethod
    def make(self, m: int) -> nn.Module:
        """TorchJD's object for m tasks."""

    def faults(self, m: int, r: int) -> list[str]:
        """Missing packages, with what installs them."""
        missing = [name for name in self.packages if find_spec(name) is None]
        if not missing:
            return []
        return [f"needs {' and '.join(missing)}, not installed here: pip install 'moframework[{self.extra}]'"]

    def build(self, m: int, r: int) -> nn.Module:
        """TorchJD's object, whose buffers are saved."""
        with torch.random.fork_rng(devices=[]):
            made = self.make(m)
            # Buffers come into being with the first call; orthogonal gradients leave them at their first values.
            # Without buffers nothing could be loaded into.
            if isinstance(made, _gramian_weighting()):
                made(torch.eye(m))
        return _Held(made)


class _Held(nn.Module):
    """An object of TorchJD that stays on the host, where it keeps its state, while its buffers are saved."""

    def __init__(self, held: nn.Module) -> None:
        super().__init__()
        self._held = [held]  # in a list, so that it is no submodule and does not move to a device

    @property
    def held(self) -> Any:
        return self._held[0]

    def get_extra_state(self) -> dict[str, Tensor]:
        return dict(self.held.state_dict())

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        self.held.load_state_dict(state)


class _TorchJDWeighting(_FromTorchJD, Weighting):
    """A weighting of TorchJD that needs the Gramian."""

    def weights(self, losses: Tensor, preferences: Tensor, gramians: Tensor, state: nn.Module | None = None) -> Tensor:
        """See `Weighting.weights`."""
        method = cast(_Held, state).held
        # Decompositions raise on nan; the result still has to be nan then, which 0 · nan sees to.
        broken = 0 * gramians.sum(dim=(1, 2)).unsqueeze(1)
        absent = unknown_of(losses, gramians)
        gramians = gramians.nan_to_num()
        factors = preferences * losses.shape[1]
        rows = zip(gramians, factors, preferences, absent, strict=True)
        return torch.stack([self._row(method, *row) for row in rows]) + broken

    def _row(self, method: Any, gramian: Tensor, factor: Tensor, preference: Tensor, absent: Tensor) -> Tensor:
        """Weights (m,) of one preference: those of the method for the tasks that are not absent, 0 for the others."""
        kept = (~absent).nonzero().flatten()
        if len(kept) < len(absent):
            weights = torch.zeros_like(factor)
            if len(kept):
                of_kept = gramian[kept][:, kept], factor[kept], preference[kept], absent[kept]
                weights[kept] = self._row(method, *of_kept)
            return weights
        if self.tilt == "vector":
            method.pref_vector = preference
            return cast(Tensor, method(gramian))
        if self.tilt == "gradients":
            return cast(Tensor, method(gramian * torch.outer(factor, factor)) * factor)
        return cast(Tensor, method(gramian) * factor)


class _TorchJDAggregation(_FromTorchJD, Aggregation):
    """An aggregator of TorchJD that needs the gradients themselves."""

    def aggregate(
        self, jacobians: Tensor, losses: Tensor, preferences: Tensor, state: nn.Module | None = None
    ) -> Tensor:
        """See `Aggregation.aggregate`."""
        method = cast(_Held, state).held
        broken = 0 * jacobians.sum(dim=(1, 2)).unsqueeze(1)
        jacobians = jacobians.nan_to_num()
        rows = []
        for jacobian, factor in zip(jacobians, preferences * losses.shape[1], strict=True):
            if self.tilt == "vector":
                method.pref_vector = factor
                rows.append(method(jacobian))
            else:
                rows.append(method(jacobian * factor.unsqueeze(1)))
        return torch.stack(rows) + broken


@config
class MGDA(_TorchJDWeighting):
    """Multiple-gradient descent: the shortest convex combination of gradients, by Frank–Wolfe (Désidéri 2012; Sener and
    Koltun, NeurIPS 2018). A preference multiplies its weights.

    >>> objective, even = MGDA(), torch.tensor([[0.5, 0.5]])
    >>> gramians = torch.tensor([[[1.0, 0.0], [0.0, 3.0]]])
    >>> weights = objective.weights(torch.ones(1, 2), even, gramians, objective.build(m=2, r=1))
    >>> weights.round(decimals=2)  # in proportion to 1 and 1/3
    tensor([[0.7500, 0.2500]])
    """

    tilt: ClassVar[Tilt] = "weights"
    epsilon: float = option(0.001, gt=0, help="step of Frank–Wolfe below which it stops")
    max_iters: int = option(100, ge=1, help="steps of Frank–Wolfe at most")

    def make(self, m: int) -> nn.Module:
        """See `_FromTorchJD.make`."""
        from torchjd.aggregation import MGDAWeighting

        return MGDAWeighting(epsilon=self.epsilon, max_iters=self.max_iters)


@config
class PCGrad(_TorchJDWeighting):
    """Gradient surgery: each gradient without what conflicts with the others (Yu et al., NeurIPS 2020, arXiv
    2001.06782). A preference scales the gradients.

    >>> objective, even = PCGrad(), torch.tensor([[0.5, 0.5]])
    >>> gramians = torch.tensor([[[1.0, -0.5], [-0.5, 1.0]]])  # gradients in conflict
    >>> objective.weights(torch.ones(1, 2), even, gramians, objective.build(m=2, r=1))  # g_1 + ½ g_2 and g_2 + ½ g_1
    tensor([[1.5000, 1.5000]])
    """

    tilt: ClassVar[Tilt] = "gradients"

    def make(self, m: int) -> nn.Module:
        """See `_FromTorchJD.make`."""
        from torchjd.aggregation import PCGradWeighting

        return PCGradWeighting()


@config
class GradVac(_TorchJDWeighting):
    """Gradient vaccine: gradients are turned to the angle they had on average (Wang et al., ICLR 2021, arXiv
    2010.05874). A preference scales the gradients. Its averages are saved.

    >>> objective, even = GradVac(), torch.tensor([[0.5, 0.5]])
    >>> gramians = torch.tensor([[[1.0, -0.5], [-0.5, 1.0]]])  # gradients in conflict
    >>> objective.weights(torch.ones(1, 2), even, gramians, objective.build(m=2, r=1))  # turned to right angles
    tensor([[1.5000, 1.5000]])
    """

    tilt: ClassVar[Tilt] = "gradients"
    beta: float = option(0.5, ge=0, le=1, help="share of the newest angle in the running average")
    eps: float = option(1e-8, ge=0, help="added to denominators")

    def make(self, m: int) -> nn.Module:
        """See `_FromTorchJD.make`."""
        from torchjd.aggregation import GradVacWeighting

        return GradVacWeighting(beta=self.beta, eps=self.eps)

    def _row(self, method: Any, gramian: Tensor, factor: Tensor, preference: Tensor, absent: Tensor) -> Tensor:
        """See `_TorchJDWeighting._row`. Averages of angles are those of m tasks: the method is asked about all of them,
        and what it learned of those that are absent is taken back."""
        before = {key: value.clone() for key, value in method.state_dict().items()}
        weights = super()._row(method, gramian, factor, preference, torch.zeros_like(absent))
        pairs = absent.unsqueeze(1) | absent
        for key, value in method.state_dict().items():
            value.copy_(torch.where(pairs.to(value.device), before[key], value))
        return torch.where(absent, 0.0, weights)


@config
class CAGrad(_TorchJDWeighting):
    """Conflict-averse gradient descent: near the mean gradient, the direction that helps the worst task most (Liu et
    al., NeurIPS 2021, arXiv 2110.14048). A preference scales the gradients. Needs cvxpy as well.

    With half of the radius::

        solver: {name: single, objective: {name: cagrad, c: 0.2}}
    """

    extra: ClassVar[str] = "cagrad"
    packages: ClassVar[tuple[str, ...]] = ("torchjd", "cvxpy", "clarabel")
    tilt: ClassVar[Tilt] = "gradients"
    c: float = option(0.4, ge=0, help="radius around the mean gradient, over its length")
    norm_eps: float = option(1e-4, ge=0, help="added when the Gramian is normalized")

    def make(self, m: int) -> nn.Module:
        """See `_FromTorchJD.make`."""
        from torchjd.aggregation import CAGradWeighting

        return CAGradWeighting(c=self.c, norm_eps=self.norm_eps)


@config
class IMTLG(_TorchJDWeighting):
    """Impartial multi-task learning: a direction with equal projections on all gradients (Liu et al., ICLR 2021). A
    preference multiplies its weights.

    >>> objective, even = IMTLG(), torch.tensor([[0.5, 0.5]])
    >>> gramians = torch.tensor([[[1.0, 0.0], [0.0, 9.0]]])  # of gradients with lengths 1 and 3
    >>> objective.weights(torch.ones(1, 2), even, gramians, objective.build(m=2, r=1))  # w_1 · 1 = w_2 · 3, of sum 1
    tensor([[0.7500, 0.2500]])
    """

    tilt: ClassVar[Tilt] = "weights"

    def make(self, m: int) -> nn.Module:
        """See `_FromTorchJD.make`."""
        from torchjd.aggregation import IMTLGWeighting

        return IMTLGWeighting()


@config
class FairGrad(_TorchJDWeighting):
    """Fair resource allocation, `G w = w^(−1/α)` (Ban and Ji, ICML 2024, arXiv 2402.15638). A preference multiplies its
    weights.

    >>> objective, even = FairGrad(alpha=2.0), torch.tensor([[0.5, 0.5]])
    >>> gramians = torch.tensor([[[1.0, 0.0], [0.0, 8.0]]])
    >>> weights = objective.weights(torch.ones(1, 2), even, gramians, objective.build(m=2, r=1))
    >>> weights.round(decimals=3)  # 1 = 1^(−½) and 8 · ¼ = ¼^(−½)
    tensor([[1.0000, 0.2500]])
    """

    tilt: ClassVar[Tilt] = "weights"
    alpha: float = option(2.0, ge=0, help="kind of fairness: 0 linear, 1 proportional (Nash), large max–min")
    max_iters: int | None = option(None, ge=1, help="evaluations of the solver at most; none: scipy's default")

    def make(self, m: int) -> nn.Module:
        """See `_FromTorchJD.make`."""
        from torchjd.aggregation import FairGradWeighting

        return FairGradWeighting(alpha=self.alpha, max_iters=self.max_iters)


@config
class AlignedMTL(_TorchJDWeighting):
    """Independent component alignment: gradients made orthogonal and equally long (Senushkin et al., CVPR 2023). The
    preference is its own vector.

    >>> objective, even = AlignedMTL(), torch.tensor([[0.5, 0.5]])
    >>> gramians = torch.tensor([[[1.0, 0.0], [0.0, 9.0]]])  # of gradients with lengths 1 and 3
    >>> objective.weights(torch.ones(1, 2), even, gramians, objective.build(m=2, r=1))  # ½ and ½ · ⅓
    tensor([[0.5000, 0.1667]])
    """

    tilt: ClassVar[Tilt] = "vector"
    scale_mode: Literal["min", "median", "rmse"] = option("min", help="which singular value sets the common length")

    def make(self, m: int) -> nn.Module:
        """See `_FromTorchJD.make`."""
        from torchjd.aggregation import AlignedMTLWeighting

        return AlignedMTLWeighting(scale_mode=self.scale_mode)


@config
class UPGrad(_TorchJDWeighting):
    """Unconflicting projection: the mean of the gradients, each projected onto their dual cone (Quinton and Rey 2024,
    arXiv 2406.16232). A preference scales the gradients, which here is the same as a vector of its own.

    >>> objective, even = UPGrad(), torch.tensor([[0.5, 0.5]])
    >>> gramians = torch.tensor([[[1.0, -0.5], [-0.5, 1.0]]])  # gradients in conflict
    >>> objective.weights(torch.ones(1, 2), even, gramians, objective.build(m=2, r=1))  # of g_1 + ½ g_2 and g_2 + ½ g_1
    tensor([[0.7500, 0.7500]])
    """

    tilt: ClassVar[Tilt] = "gradients"

    def make(self, m: int) -> nn.Module:
        """See `_FromTorchJD.make`."""
        from torchjd.aggregation import UPGradWeighting

        return UPGradWeighting(projector=dual_cone_projector())


@config
class DualProj(_TorchJDWeighting):
    """Dual cone projection: the mean gradient, projected onto the dual cone of the gradients (Lopez-Paz and Ranzato,
    NeurIPS 2017). A preference scales the gradients, which here is the same as a vector of its own.

    >>> objective, even = DualProj(), torch.tensor([[0.5, 0.5]])
    >>> gramians = torch.tensor([[[1.0, -2.0], [-2.0, 5.0]]])  # the mean gradient would raise the first loss
    >>> objective.weights(torch.ones(1, 2), even, gramians, objective.build(m=2, r=1))  # now 1 · 1 − ½ · 2 = 0
    tensor([[1.0000, 0.5000]])
    """

    tilt: ClassVar[Tilt] = "gradients"

    def make(self, m: int) -> nn.Module:
        """See `_FromTorchJD.make`."""
        from torchjd.aggregation import DualProjWeighting

        return DualProjWeighting(projector=dual_cone_projector())


@config
class GradDrop(_TorchJDAggregation):
    """Gradient sign dropout: each entry keeps the gradients of one sign, drawn in proportion (Chen et al., NeurIPS
    2020, arXiv 2010.06808). A preference scales the gradients.

    >>> objective, even = GradDrop(), torch.tensor([[0.5, 0.5]])
    >>> jacobians = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])  # signs agree: all are kept
    >>> objective.aggregate(jacobians, torch.ones(1, 2), even, objective.build(m=2, r=1))
    tensor([[4., 6.]])
    """

    tilt: ClassVar[Tilt] = "gradients"
    leak: tuple[float, ...] | None = option(None, help="share of each task's gradient that is never dropped; none: 0")

    def faults(self, m: int, r: int) -> list[str]:
        """See `Objective.faults`."""
        return super().faults(m, r) + wrong_length("leak", self.leak, m)

    def make(self, m: int) -> nn.Module:
        """See `_FromTorchJD.make`."""
        from torchjd.aggregation import GradDrop as Method

        return Method(leak=None if self.leak is None else torch.tensor(self.leak))


@config
class ConFIG(_TorchJDAggregation):
    """Conflict-free inverse gradients: equal cosines with all gradients (Liu, Chu, Thuerey, ICLR 2025, arXiv
    2408.11104). The preference is its own vector: the cosines are in the ratio of λ.

    >>> objective, even = ConFIG(), torch.tensor([[0.5, 0.5]])
    >>> jacobians = torch.tensor([[[1.0, 0.0], [0.0, 3.0]]])
    >>> direction = objective.aggregate(jacobians, torch.ones(1, 2), even, objective.build(m=2, r=1))
    >>> direction.round(decimals=2)  # 45 degrees to both
    tensor([[2., 2.]])
    """

    tilt: ClassVar[Tilt] = "vector"

    def make(self, m: int) -> nn.Module:
        """See `_FromTorchJD.make`."""
        from torchjd.aggregation import ConFIG as Method

        return Method()


@functools.cache
def _gramian_weighting() -> type[nn.Module]:
    from torchjd.aggregation import Weighting as Base

    return Base


@functools.cache
def dual_cone_projector() -> Any:
    """TorchJD's dual cone projector on scipy's NNLS; its own needs quadprog, which is under the GPL."""
    from torchjd.linalg import DualConeProjector, PSDMatrix

    class Projector(DualConeProjector):
        def __call__(self, U: Tensor, G: PSDMatrix) -> Tensor:
            gramian = G.double().cpu().numpy()
            found = np.apply_along_axis(lambda u: dual_cone_weights(u, gramian), -1, U.double().cpu().numpy())
            return torch.as_tensor(found).to(U)

    return Projector()
