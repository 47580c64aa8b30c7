"""What problems of several small images in one have in common: a task for each image, the network, the reference."""

from __future__ import annotations

from abc import abstractmethod
from typing import final

from moframework.backbones.base import Backbone
from moframework.backbones.lenet import LeNet
from moframework.config import config
from moframework.losses import CrossEntropy
from moframework.metrics import Accuracy
from moframework.problem import Problem
from moframework.problem.task import Task

__all__ = ["Overlaid"]

Place = tuple[int, int]
"""Row and column of an image's upper left corner on the canvas."""


@config
class Overlaid(Problem):
    """Tell each of several images that lie on top of one another: one task an image, all competing for one encoder.

    A problem fills in `places`, `input_shape` and `data`.
    """

    @property
    @abstractmethod
    def places(self) -> dict[str, Place]:
        """Where each task's image lies on the canvas, by the task's name, in the order of the tasks."""

    @final
    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each image: cross-entropy over 10 classes; accuracy."""
        return tuple(Task(name=name, loss=CrossEntropy(), metrics=(Accuracy(),), size=10) for name in self.places)

    @final
    @property
    def network(self) -> Backbone:
        """LeNet: 27,450 parameters for 28×28 images and two tasks, 30,510 for three."""
        return LeNet()

    @final
    @property
    def reference(self) -> tuple[float, ...]:
        """1 for each task, as in PaLoRA's code: guessing costs ln 10 = 2.3 nats, so only models that are of use on
        all images add volume. (COSMOS and PHN-HVI use 2.)"""
        return (1.0,) * len(self.places)
