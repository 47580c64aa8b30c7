"""Problems of random numbers in the shapes of real ones: only their cost matters here."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from moframework import Backbone, Problem, Task, TensorData
from moframework.config import config, option
from moframework.losses import L1, Cosine, CrossEntropy, MeanLoss

__all__ = ["ATTRIBUTES", "Attributes", "Classes", "Dense", "Torques", "plain_loss"]

ATTRIBUTES = 40


def plain_loss(task: Task, output: Tensor, target: Tensor) -> Tensor:
    """The loss of a task as one would write it by hand."""
    if isinstance(task.loss, CrossEntropy):
        return functional.cross_entropy(output, target)
    if isinstance(task.loss, L1):
        return functional.l1_loss(output.squeeze(1), target)
    if isinstance(task.loss, Cosine):
        return (1 - functional.cosine_similarity(output, target, dim=1)).mean()
    raise TypeError(f"no plain form of {type(task.loss).__name__}")


@config
class _Random(Problem):
    """Inputs are standard normal; all splits are alike."""

    backbone_: Backbone = option(help="the network")
    shape: tuple[int, ...] = option(help="shape of one input")
    samples: int = option(64, ge=1, help="samples of a split")

    @property
    def network(self) -> Backbone:
        return self.backbone_

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.shape

    @property
    def reference(self) -> tuple[float, ...]:
        return (10.0,) * len(self.tasks)

    def data(self, split: str) -> TensorData:
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randn(self.samples, *self.shape, generator=generator)
        return TensorData(inputs, self.targets(generator))

    def targets(self, generator: torch.Generator) -> dict[str, Tensor]:
        raise NotImplementedError


@config
class Classes(_Random):
    """Two tasks of ten classes: MultiMNIST's, UTKFace's shape."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        return tuple(Task(name=name, loss=CrossEntropy(), size=10) for name in ("left", "right"))

    def targets(self, generator: torch.Generator) -> dict[str, Tensor]:
        return {task.name: torch.randint(10, (self.samples,), generator=generator) for task in self.tasks}


@config
class Torques(_Random):
    """m numbers to regress: SARCOS's shape."""

    m: int = option(7, ge=1, help="tasks")

    @property
    def tasks(self) -> tuple[Task, ...]:
        return tuple(Task(name=f"torque{t}", loss=L1(), size=1) for t in range(self.m))

    def targets(self, generator: torch.Generator) -> dict[str, Tensor]:
        return {task.name: torch.randn(self.samples, generator=generator) for task in self.tasks}


@config
class Dense(_Random):
    """Segmentation into 13 classes, depth and, with three tasks, normals: NYUv2's shape."""

    m: int = option(2, ge=2, le=3, help="tasks")

    @property
    def tasks(self) -> tuple[Task, ...]:
        tasks = (
            Task(name="segmentation", loss=CrossEntropy(), size=13),
            Task(name="depth", loss=L1(), size=1),
            Task(name="normal", loss=Cosine(), size=3),
        )
        return tasks[: self.m]

    def targets(self, generator: torch.Generator) -> dict[str, Tensor]:
        height, width = self.shape[1:]
        shape = (self.samples, height, width)
        made = {
            "segmentation": torch.randint(13, shape, generator=generator),
            "depth": torch.rand(shape, generator=generator),
            "normal": torch.randn(self.samples, 3, height, width, generator=generator),
        }
        return {task.name: made[task.name] for task in self.tasks}


@config
class _Columns(MeanLoss):
    """Squared error of a range of the columns of one output."""

    start: int = option(ge=0, help="first column")
    stop: int = option(ge=1, help="column after the last")

    def values(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        return (output[:, self.start : self.stop] - target[:, self.start : self.stop]).square(), None


@config
class Attributes(_Random):
    """40 attributes of one output, as m tasks of 40/m columns each: the same network and head whatever m is."""

    m: int = option(ATTRIBUTES, ge=2, le=ATTRIBUTES, help="tasks; a divisor of 40")

    @property
    def tasks(self) -> tuple[Task, ...]:
        each = math.ceil(ATTRIBUTES / self.m)
        return tuple(
            Task(
                name=f"part{t}",
                loss=_Columns(start=t * each, stop=(t + 1) * each),
                output="attributes",
                target="attributes",
                size=ATTRIBUTES,
            )
            for t in range(self.m)
        )

    def targets(self, generator: torch.Generator) -> dict[str, Tensor]:
        return {"attributes": torch.randn(self.samples, ATTRIBUTES, generator=generator)}
