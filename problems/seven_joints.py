"""What `sarcos` and `arm` have in common: the torques of seven joints, told from how the joints move."""

from __future__ import annotations

from typing import final

import numpy as np
import numpy.typing as npt
import torch

from moframework.backbones.base import Backbone
from moframework.backbones.mlp import MLP
from moframework.config import config
from moframework.data import TensorData
from moframework.losses import MSE
from moframework.metrics import MAE
from moframework.problem import Problem
from moframework.problem.task import Task

__all__ = ["INPUTS", "JOINTS", "SevenJoints"]

JOINTS = 7
INPUTS = 3 * JOINTS
"""Seven positions, seven velocities, seven accelerations."""


@config
class SevenJoints(Problem):
    """Tell the torques of seven joints from their positions, velocities and accelerations.

    A problem fills in `data`, by `samples`, and the reference point.
    """

    @final
    @property
    def tasks(self) -> tuple[Task, ...]:
        """`torque1` to `torque7`, from the base to the hand."""
        return tuple(Task(name=f"torque{joint}", loss=MSE(), metrics=(MAE(),)) for joint in range(1, JOINTS + 1))

    @final
    @property
    def network(self) -> Backbone:
        """Three hidden layers of 256: 139,015 parameters."""
        return MLP(hidden=(256, 256, 256))

    @final
    @property
    def input_shape(self) -> tuple[int, ...]:
        """(21,): seven positions, seven velocities, seven accelerations."""
        return (INPUTS,)

    @final
    def samples(self, states: npt.NDArray[np.float64], torques: npt.NDArray[np.float64]) -> TensorData:
        """States (n, 21) and targets `torque1` … `torque7` (n,), float32, from scaled states and torques (n, 7)."""
        targets = torch.from_numpy(torques.astype(np.float32))
        return TensorData(
            torch.from_numpy(states.astype(np.float32)),
            {task.name: targets[:, joint].contiguous() for joint, task in enumerate(self.tasks)},
        )
