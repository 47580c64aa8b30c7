"""Bilinear adapters: one pair of factors for all tasks, and a small core that depends on the preference."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from moframework.config import config, option
from moframework.preferences.dirichlet import Dirichlet
from moframework.solvers.base import Solver
from moframework.weights import WeightSpaceConfig
from moframework.weights.adapted import Form
from moframework.weights.bilinear import Bilinear as BilinearWeights

__all__ = ["Bilinear"]


@config
class Bilinear(Solver):
    """A shared network plus one adapter with a core that depends on λ: a further task costs r² numbers a weight.

    `W(λ) = W0 + (α/r) B C(λ) A` with `C(λ) = Σ_t λ_t C_t`, trained on `Σ_t λ_t L_t` at preferences drawn from a
    Dirichlet distribution. Where there are many tasks it stays small and fast, when an adapter a task does not.

    - PBLoRA (Lin et al., ICML 2025): the defaults, with `free_rank: 4` and `train_base: false` around a trained
      network, `initial`. Published are Dirichlet(0.5), one preference a batch, r = 4, α = 8.
    - Pareto Merging (Chen and Kwok, ICML 2025, arXiv 2408.12105): `train_base: false` around a merged network;
      with its objectives that need no labels it is solver `pareto_merging`.
    - Panacea (Zhong et al., NeurIPS 2024, arXiv 2402.02030) of rank k: `core: diagonal`, `rank: 1`, `free_rank: k`,
      `train_base: false`, and for its α/k `alpha`.

    Source: the released code of PBLoRA, which adapts language models. That W0 is trained by default is PaLoRA's way,
    for networks that start fresh. Limits: linear scalarization cannot reach a concave part of a front; W is linear in
    λ; at B = 0 every preference is the same network.

    Panacea of rank 4, around a trained network::

        solver:
          name: bilinear
          core: diagonal
          rank: 1
          free_rank: 4
          alpha: 4
          train_base: false
          initial: base.safetensors
    """

    default_preferences = Dirichlet(concentration=0.5, per_batch=1)
    rank: int = option(4, ge=1, le=4096, help="inner rank r of what depends on λ; with a diagonal core, of each task")
    alpha: float = option(8.0, gt=0, help="scale α of the adapters: they are multiplied by α/r")
    core: Literal["full", "diagonal"] = option("full", help="what is between the factors: a matrix a task, or λ itself")
    free_rank: int = option(
        0, ge=0, le=4096, help="inner rank of a part that is the same for all λ; of use where W0 is not trained"
    )
    train_base: bool = option(True, help="whether the shared network is trained too; false: only factors and cores")
    conv: Form = option("loralib", help="form of the adapters of convolutions: loralib, peft or separable")
    adapter_lr_factor: float = option(
        1.0, gt=0, help="learning rate of factors and cores over that of the shared network"
    )
    initial: Path | None = option(
        None, help="network to start from, or to keep: a .safetensors or .pt state dict, or a run folder"
    )

    def weight_space(self, m: int) -> WeightSpaceConfig:
        """A shared network and one adapter with a core."""
        return BilinearWeights(
            rank=self.rank,
            alpha=self.alpha,
            core=self.core,
            free_rank=self.free_rank,
            train_base=self.train_base,
            conv=self.conv,
            lr_factor=self.adapter_lr_factor,
        )
