"""`arm`: its torques against Lagrange's equations and against another library, its trajectories against the limits."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from moframework.problems import arm
from moframework.problems.arm import PANDA, Arm, Chain, inverse_dynamics
from torch import Tensor
from torch.func import grad, jacrev, vmap

from moframework.data import SPLITS
from moframework.problem import get_problem

GRAVITY = 9.81


def states(count: int, seed: int = 0, joints: int = 7) -> list[Tensor]:
    """Positions, velocities and accelerations, far beyond what the joints may do."""
    generator = torch.Generator().manual_seed(seed)
    return [4 * torch.rand(count, joints, generator=generator, dtype=torch.float64) - 2 for _ in range(3)]


def poses(chain: Chain, position: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Rotation and origin of every link in the base's frame, at one state (n,)."""
    rotation, origin = torch.eye(3, dtype=position.dtype), torch.zeros(3, dtype=position.dtype)
    found = []
    for joint in range(len(position)):
        turn, move = chain.step(joint, position[joint])
        origin = origin + rotation @ move
        rotation = rotation @ turn
        found.append((rotation, origin))
    return found


def centers(chain: Chain, position: Tensor) -> Tensor:
    """Centers of mass (n, 3) in the base's frame."""
    return torch.stack([o + r @ c for (r, o), c in zip(poses(chain, position), chain.center, strict=True)])


def lagrangian(chain: Chain, position: Tensor, velocity: Tensor) -> Tensor:
    """Kinetic minus potential energy; velocities of the links by differentiating where they are."""
    at_center = jacrev(lambda q: centers(chain, q))(position) @ velocity  # (n, 3)
    rotations = torch.stack([r for r, _ in poses(chain, position)])
    rates = jacrev(lambda q: torch.stack([r for r, _ in poses(chain, q)]))(position) @ velocity
    skew = rates @ rotations.transpose(1, 2)  # of the angular velocity
    spin = torch.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], dim=1)
    inertia = rotations @ chain.inertia @ rotations.transpose(1, 2)
    kinetic = (chain.mass * at_center.square().sum(dim=1)).sum() + torch.einsum("ni,nij,nj->", spin, inertia, spin)
    return kinetic / 2 - GRAVITY * (chain.mass * centers(chain, position)[:, 2]).sum()


def lagrange(chain: Chain, position: Tensor, velocity: Tensor, acceleration: Tensor) -> Tensor:
    """d/dt ∂L/∂q̇ − ∂L/∂q at one state."""
    mass_matrix = jacrev(grad(lambda v: lagrangian(chain, position, v)))(velocity)
    drift = jacrev(lambda q: grad(lambda v: lagrangian(chain, q, v))(velocity))(position) @ velocity
    return mass_matrix @ acceleration + drift - grad(lambda q: lagrangian(chain, q, velocity))(position)


def test_torques_are_those_of_lagranges_equations() -> None:
    given = states(5)
    expected = vmap(lambda *state: lagrange(PANDA, *state))(*given)
    torch.testing.assert_close(inverse_dynamics(PANDA, *given), expected, rtol=1e-9, atol=1e-9)


def test_torques_are_those_of_pinocchio() -> None:
    golden = json.loads(Path(__file__).with_name("arm_golden.json").read_text(encoding="utf-8"))
    given = torch.tensor(golden["states"], dtype=torch.float64)
    found = inverse_dynamics(PANDA, *given.unbind(dim=1))
    torch.testing.assert_close(found, torch.tensor(golden["torques"], dtype=torch.float64), rtol=1e-9, atol=1e-9)


def pendulum(length: float, mass: float) -> Chain:
    """A point mass on a rod that turns about a horizontal axis."""
    one = torch.zeros(1, dtype=torch.float64)
    return Chain(
        a=one,
        alpha=one + torch.pi / 2,
        d=one,
        mass=one + mass,
        center=torch.tensor([[length, 0, 0]], dtype=torch.float64),
        inertia=torch.zeros(1, 3, 3, dtype=torch.float64),
    )


def test_a_pendulum() -> None:
    """τ = m l² q̈ + m g l cos q, with q from the horizontal."""
    position, velocity, acceleration = states(4, joints=1)
    expected = 3 * 0.5**2 * acceleration + 3 * GRAVITY * 0.5 * torch.cos(position)
    torch.testing.assert_close(inverse_dynamics(pendulum(0.5, 3.0), position, velocity, acceleration), expected)


def test_the_work_of_the_torques_is_the_gain_of_energy() -> None:
    """Along a motion: the power τ·q̇ is the rate of change of kinetic plus potential energy."""
    position, velocity, acceleration = (values[0] for values in states(1, seed=1))

    def energy(t: Tensor) -> Tensor:
        q = position + velocity * t + acceleration * t * t / 2
        v = velocity + acceleration * t
        kinetic = lagrangian(PANDA, q, v) - lagrangian(PANDA, q, 0 * v)
        return kinetic - lagrangian(PANDA, q, 0 * v)

    rate = grad(energy)(torch.zeros((), dtype=torch.float64))
    torque = inverse_dynamics(PANDA, position[None], velocity[None], acceleration[None])[0]
    torch.testing.assert_close(torque @ velocity, rate)


def test_facts() -> None:
    problem = get_problem("arm")
    assert problem == Arm()
    assert [task.name for task in problem.tasks] == [f"torque{joint}" for joint in range(1, 8)]
    assert problem.outputs == {f"torque{joint}": 1 for joint in range(1, 8)}
    assert (problem.reference, problem.input_shape) == ((1.0,) * 7, (21,))
    assert sum(p.numel() for p in problem.backbone().parameters()) == 139_015
    Arm(train=60, val=20, test=20).check()


def test_sizes_types_and_scales() -> None:
    problem = Arm(train=1030, val=70, test=130)
    for split, size in zip(SPLITS, (1030, 70, 130), strict=True):
        data = problem.data(split)
        assert (data.inputs.shape, data.inputs.dtype) == ((size, 21), torch.float32)
        assert data.inputs.abs().max() <= 1
        assert len(data.targets) == 7
        for target in data.targets.values():
            assert (target.shape, target.dtype) == ((size,), torch.float32)
    for target in problem.data("train").targets.values():
        assert float(target.std(unbiased=False)) == pytest.approx(1, abs=1e-5)


def test_motion_is_smooth_and_torques_belong_to_it() -> None:
    """Velocity and acceleration are the derivatives of position; the unscaled torques are those of the states."""
    position, velocity, acceleration = arm._trajectories(4, np.random.RandomState(0))
    step = arm._INTERVAL
    central = (position[:, 2:] - position[:, :-2]) / (2 * step)
    np.testing.assert_allclose(central, velocity[:, 1:-1], atol=0.03)
    second = (position[:, 2:] - 2 * position[:, 1:-1] + position[:, :-2]) / step**2
    np.testing.assert_allclose(second, acceleration[:, 1:-1], atol=0.06)
    assert np.abs(velocity).max() > 1
    for values, low, high in (
        (position, arm._LOWEST, arm._HIGHEST),
        (velocity, -arm._FASTEST, arm._FASTEST),
        (acceleration, -arm._STRONGEST, arm._STRONGEST),
    ):
        assert (values >= low).all()
        assert (values <= high).all()


def test_splits_share_no_trajectory_and_seeds_differ() -> None:
    problem = Arm(train=200, val=200, test=200)
    first = {split: problem.data(split).inputs for split in SPLITS}
    for one, other in itertools.combinations(SPLITS, 2):
        assert torch.cdist(first[one], first[other]).min() > 0.1
    assert torch.equal(first["train"], Arm(train=200, val=200, test=200).data("train").inputs)
    assert not torch.equal(first["train"], Arm(train=200, seed=1).data("train").inputs)


def test_noise_is_on_the_torques_of_training_and_validation_alone() -> None:
    clean, noisy = Arm(train=2000, val=500, test=50), Arm(train=2000, val=500, test=50, noise=0.3)
    for split in SPLITS:
        one, other = clean.data(split), noisy.data(split)
        assert torch.equal(one.inputs, other.inputs)
        for name in one.targets:
            spread = float((one.targets[name] - other.targets[name]).std())
            assert spread == pytest.approx(0.0 if split == "test" else 0.3, abs=0.04)
    again = Arm(train=2000, val=500, test=50, noise=0.3).data("train").targets["torque3"]
    assert torch.equal(again, noisy.data("train").targets["torque3"])


def test_it_is_made_fast() -> None:
    start = time.perf_counter()
    for split in SPLITS:
        Arm(seed=3).data(split)
    assert time.perf_counter() - start < 20  # generous: other work may share the machine; alone it takes about 0.5 s
