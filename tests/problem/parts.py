"""Problems of two tasks: on one output, and on maps of images."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from moframework.augmentations import Augmentation
from moframework.augmentations.flip import Flip
from moframework.backbones.base import Backbone
from moframework.backbones.mlp import MLP
from moframework.config import build, config, option
from moframework.data import Split, TensorData
from moframework.losses import MSE, BinaryCrossEntropy, CrossEntropy, Loss
from moframework.metrics import Accuracy
from moframework.problem import Problem
from moframework.problem.task import Task


@config
class ParityGap(Loss):
    """|mean probability of group 1 − of group 0|: a loss of a group of samples that is no mean over them."""

    def statistics(self, output: Tensor, target: Tensor) -> Tensor:
        probability, member = output.squeeze(1).sigmoid(), target.float()
        return torch.stack([probability * member, member, probability * (1 - member), 1 - member], dim=1)

    def finish(self, totals: Tensor) -> Tensor:
        a, n, b, k = totals.unbind(-1)
        return (a / n.clamp(min=1) - b / k.clamp(min=1)).abs()


@config
class Shared(Problem):
    """Two objectives on one output."""

    size: int = option(8, ge=1, help="samples")

    @property
    def tasks(self) -> tuple[Task, ...]:
        return (
            Task(name="income", loss=BinaryCrossEntropy(), metrics=(Accuracy(),)),
            Task(name="parity", loss=ParityGap(), output="income", target="sex"),
        )

    @property
    def network(self) -> Backbone:
        return MLP(hidden=(4,))

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (3,)

    @property
    def reference(self) -> tuple[float, ...]:
        return (1.0, 1.0)

    @property
    def true_front(self) -> Any:
        return np.array([[0.0, 0.0]])

    def data(self, split: Split) -> TensorData:
        x = torch.randn(self.size, 3, generator=torch.Generator().manual_seed(0))
        return TensorData(x, {"income": (x[:, 0] > 0).long(), "sex": (x[:, 1] > 0).long()})


@config
class Pictures(Problem):
    """Two maps of images."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        return (Task(name="class", loss=CrossEntropy(), size=3), Task(name="distance", loss=MSE()))

    @property
    def network(self) -> Backbone:
        return build(Backbone, {"name": "segnet", "width": 2, "stages": 1})  # type: ignore[type-abstract]

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (1, 4, 6)

    @property
    def maps(self) -> Any:
        return {"class": "classes", "distance": "depth"}

    @property
    def augmentation(self) -> tuple[Augmentation, ...]:
        return (Flip(),)

    def data(self, split: Split) -> TensorData:
        x = torch.rand(4, 1, 4, 6, generator=torch.Generator().manual_seed(0))
        return TensorData(x, {"class": (3 * x[:, 0]).long(), "distance": x})


@config
class Halved(Augmentation):
    """What no augmentation may do."""

    def apply(self, x: Tensor, targets: Any, maps: Any, generator: Any) -> tuple[Tensor, Any]:
        return x[..., ::2], targets
