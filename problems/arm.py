"""`arm`: inverse dynamics of a simulated seven-joint arm, in the shape of SARCOS. Needs no download."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt
import torch
from attrs import frozen
from torch import Tensor

from moframework.config import config, option
from moframework.data import SPLITS, Split, TensorData, check_split

from .seven_joints import JOINTS, SevenJoints

__all__ = ["PANDA", "Arm", "Chain", "inverse_dynamics"]

_SAMPLES, _INTERVAL = 50, 0.1  # states of one trajectory, and the seconds between two of them
_HARMONICS = 5  # sines that make up the motion of one joint


@frozen(eq=False)
class Chain:
    """A chain of n links with a revolute joint each, on a fixed base whose z axis points up.

    Frames follow the modified Denavit–Hartenberg convention (J. J. Craig, "Introduction to Robotics", section 3.4):
    from frame i−1 to frame i turn by `alpha` about x, move by `a` along x, turn by the joint's angle about z, move by
    `d` along z. All in SI units, float64.
    """

    a: Tensor  # (n,)
    alpha: Tensor  # (n,)
    d: Tensor  # (n,)
    mass: Tensor  # (n,)
    center: Tensor  # (n, 3): center of mass, in the link's frame
    inertia: Tensor  # (n, 3, 3): about the center of mass, along the axes of the link's frame

    def step(self, joint: int, angle: Tensor) -> tuple[Tensor, Tensor]:
        """Frame i seen from frame i−1: its rotation (..., 3, 3) at these angles (...), and its origin (3,)."""
        cosine, sine = torch.cos(angle), torch.sin(angle)
        zero, one = torch.zeros_like(angle), torch.ones_like(angle)
        about_z = torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], dim=-1)
        tilt = float(self.alpha[joint])
        c, s = math.cos(tilt), math.sin(tilt)
        about_x = angle.new_tensor([[1, 0, 0], [0, c, -s], [0, s, c]])
        along_z = float(self.d[joint])
        origin = angle.new_tensor([float(self.a[joint]), -s * along_z, c * along_z])
        return about_x @ about_z.reshape(*angle.shape, 3, 3), origin


def _panda() -> Chain:
    """The links of the Franka Emika Panda."""
    # Ixx, Iyy, Izz, Ixy, Ixz, Iyz of each link
    moments = (
        (0.70337, 0.70661, 0.0091170, -0.000139, 0.006772, 0.019169),
        (0.007962, 0.02811, 0.025995, -0.003925, 0.010254, 0.000704),
        (0.037242, 0.036155, 0.01083, -0.004761, -0.011396, -0.012805),
        (0.025853, 0.019552, 0.028323, 0.007796, -0.001332, 0.008641),
        (0.035549, 0.029474, 0.008627, -0.002117, -0.004037, 0.000229),
        (0.001964, 0.004354, 0.005433, 0.000109, -0.001158, 0.000341),
        (0.012516, 0.010027, 0.004815, -0.000428, -0.001196, -0.000741),
    )
    inertia = [[[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]] for xx, yy, zz, xy, xz, yz in moments]
    quarter = math.pi / 2

    def exact(values: object) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)

    return Chain(
        a=exact([0, 0, 0, 0.0825, -0.0825, 0, 0.088]),
        alpha=exact([0, -quarter, quarter, quarter, -quarter, quarter, quarter]),
        d=exact([0.333, 0, 0.316, 0, 0.384, 0, 0]),
        mass=exact([4.970684, 0.646926, 3.228604, 3.587895, 1.225946, 1.666555, 0.735522]),
        center=exact(
            [
                [0.003875, 0.002081, -0.04762],
                [-0.003141, -0.02872, 0.003495],
                [0.027518, 0.039252, -0.066502],
                [-0.05317, 0.104419, 0.027454],
                [-0.011953, 0.041065, -0.038437],
                [0.060149, -0.014117, -0.010517],
                [0.010517, -0.004252, 0.061597],
            ]
        ),
        inertia=exact(inertia),
    )


PANDA = _panda()
"""The links of the Franka Emika Panda; see `Arm` for the source."""

# What the Panda's joints may do: radians, radians a second, radians a second squared.
_LOWEST = np.array([-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973])
_HIGHEST = np.array([2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973])
_FASTEST = np.array([2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61])
_STRONGEST = np.array([15.0, 7.5, 10.0, 12.5, 15.0, 20.0, 20.0])


def inverse_dynamics(
    chain: Chain, position: Tensor, velocity: Tensor, acceleration: Tensor, gravity: float = 9.81
) -> Tensor:
    """The torques that make a chain of rigid links move so: the recursive Newton–Euler algorithm.

    J. Y. S. Luh, M. W. Walker, R. P. C. Paul: On-Line Computational Scheme for Mechanical Manipulators, 1980. From the
    base outward it finds how each link moves, from the tip inward what force and moment hold it; all states at once.

    Args:
        chain: the links.
        position, velocity, acceleration: of the joints (b, n), in radians and seconds, float64.
        gravity: in m/s², along −z of the base.

    Returns:
        torques about the joints' axes (b, n), in N·m.
    """
    joints = range(len(chain.mass))
    axis = position.new_tensor([0.0, 0.0, 1.0])
    frames = [chain.step(joint, position[:, joint]) for joint in joints]
    spin = turn = torch.zeros(len(position), 3, dtype=position.dtype)
    # A base that accelerates upward feels the same as one at rest under gravity.
    push = (axis * gravity).expand(len(position), 3)
    forces, moments = [], []
    for joint, (rotation, origin) in enumerate(frames):
        inward = rotation.transpose(1, 2)
        arm = origin.expand(len(position), 3)
        push = _turned(inward, push + _cross(turn, arm) + _cross(spin, _cross(spin, arm)))
        carried = _turned(inward, spin)
        rate = axis * velocity[:, joint, None]
        turn = _turned(inward, turn) + _cross(carried, rate) + axis * acceleration[:, joint, None]
        spin = carried + rate
        center = chain.center[joint].expand(len(position), 3)
        at_center = push + _cross(turn, center) + _cross(spin, _cross(spin, center))
        inertia = chain.inertia[joint]
        forces.append(chain.mass[joint] * at_center)
        moments.append(turn @ inertia + _cross(spin, spin @ inertia))
    force = moment = torch.zeros(len(position), 3, dtype=position.dtype)
    torques: list[Tensor] = []
    for joint in reversed(joints):
        if joint + 1 < len(frames):
            rotation, origin = frames[joint + 1]
            force = _turned(rotation, force)
            moment = _turned(rotation, moment) + _cross(origin.expand(len(position), 3), force)
        center = chain.center[joint].expand(len(position), 3)
        moment = moments[joint] + moment + _cross(center, forces[joint])
        force = forces[joint] + force
        torques.append(moment[:, 2])
    return torch.stack(torques[::-1], dim=1)


def _cross(one: Tensor, other: Tensor) -> Tensor:
    product: Tensor = torch.linalg.cross(one, other)
    return product


def _turned(rotation: Tensor, vector: Tensor) -> Tensor:
    return (rotation @ vector.unsqueeze(-1)).squeeze(-1)


@config
class Arm(SevenJoints):
    """Tell the torques of the seven joints of a simulated arm from their positions, velocities and accelerations.

    **Source.** Computed here: the inverse dynamics of rigid links (recursive Newton–Euler), without friction, with the
    kinematics and joint limits of the Franka Emika Panda as its maker documents them, and the inertial parameters that
    C. Gaz, M. Cognetti, A. Oliva, P. Robuffo Giordano and A. De Luca identified ("Dynamic Identification of the Franka
    Emika Panda Robot With Retrieval of Feasible Parameters Using Penalty-Based Optimization", IEEE Robotics and
    Automation Letters, 2019). **License.** That of this package. **How to obtain.** Nothing is downloaded.

    **Construction.** On each trajectory every joint moves as a sum of five sines between 0.05 and 0.5 Hz around a
    random center, scaled so that position, velocity and acceleration keep the joint's limits whatever the phases.
    50 states are taken from each, 0.1 s apart. Trajectories, not states, are divided among train, val and test: unlike
    the published SARCOS files, no test state lies between two training states. Positions are scaled to [−1, 1] between
    the joint's limits, velocities and accelerations by their largest value; torques are divided by their standard
    deviation on the training states, so that predicting the mean costs 1. `noise` adds measurement noise to the
    torques of training and validation; the test is exact.

    **Tasks.** `torque1` … `torque7`: mean squared error; mean absolute error beside it.
    **Reference point** 1 for each: the cost of the mean.

    >>> problem = Arm(train=200, val=50, test=50)
    >>> inputs, targets = problem.data("train")[0]
    >>> tuple(inputs.shape), len(targets)  # position, velocity and acceleration of seven joints, and their torques
    ((21,), 7)
    """

    train: int = option(10_000, ge=2, le=100_000, help="states for training")
    val: int = option(2_000, ge=1, le=100_000, help="states for validation")
    test: int = option(4_000, ge=1, le=100_000, help="states for the final test")
    noise: float = option(0.0, ge=0, help="standard deviation of the noise on a torque over that of the torque")
    seed: int = option(0, ge=0, lt=2**32, help="of the trajectories and the noise")

    @property
    def reference(self) -> tuple[float, ...]:
        """1 for each task."""
        return (1.0,) * JOINTS

    def data(self, split: Split) -> TensorData:
        """States (n, 21) in [−1, 1] and targets `torque1` … `torque7` (n,), float32."""
        position = SPLITS.index(check_split(split))
        count = (self.train, self.val, self.test)[position]
        states, torques = _motion(count, self.seed, position)
        scale = _motion(self.train, self.seed, 0)[1].std(axis=0)
        torques = torques / scale
        if split != "test":
            generator = np.random.RandomState([self.seed, 10 + position])
            torques = torques + self.noise * generator.standard_normal(torques.shape)
        return self.samples(states, torques)


@functools.lru_cache(maxsize=4)
def _motion(count: int, seed: int, part: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Scaled states (count, 21) along trajectories of their own for each part, and torques (count, 7) in N·m."""
    motion = _trajectories(-(-count // _SAMPLES), np.random.RandomState([seed, part]))
    position, velocity, acceleration = (values.reshape(-1, JOINTS)[:count] for values in motion)
    exact = torch.from_numpy
    torques = inverse_dynamics(PANDA, exact(position), exact(velocity), exact(acceleration))
    middle, half = (_HIGHEST + _LOWEST) / 2, (_HIGHEST - _LOWEST) / 2
    states = np.concatenate([(position - middle) / half, velocity / _FASTEST, acceleration / _STRONGEST], axis=1)
    return states, torques.numpy()


def _trajectories(
    count: int, generator: np.random.RandomState
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Positions, velocities and accelerations (count, samples, joints) within the joints' limits."""
    shape = (count, 1, JOINTS, _HARMONICS)
    pulse = 2 * np.pi * generator.uniform(0.05, 0.5, shape)
    phase = generator.uniform(0, 2 * np.pi, shape)
    weight = generator.dirichlet(np.ones(_HARMONICS), shape[:-1])
    middle, half = (_HIGHEST + _LOWEST) / 2, (_HIGHEST - _LOWEST) / 2
    center = middle + half * generator.uniform(-0.8, 0.8, shape[:-1])
    # The sum of amplitudes that the limits allow, if all sines were to peak at once.
    largest = np.minimum(half - np.abs(center - middle), _FASTEST / (weight * pulse).sum(axis=-1))
    largest = np.minimum(largest, _STRONGEST / (weight * pulse**2).sum(axis=-1))
    amplitude = weight * largest[..., None]
    angle = pulse * (_INTERVAL * np.arange(_SAMPLES))[None, :, None, None] + phase
    position = center + (amplitude * np.sin(angle)).sum(axis=-1)
    velocity = (amplitude * pulse * np.cos(angle)).sum(axis=-1)
    acceleration = -(amplitude * pulse**2 * np.sin(angle)).sum(axis=-1)
    return position, velocity, acceleration
