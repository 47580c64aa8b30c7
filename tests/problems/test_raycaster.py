"""The ray caster: against closed forms, and against points that must lie on the surfaces they were found on."""

from __future__ import annotations

import math

import pytest
import torch
from moframework.problems.raycaster import (
    Balls,
    Boxes,
    Camera,
    Cylinders,
    Light,
    Materials,
    Planes,
    Shape,
    shade,
    trace,
)
from torch import Tensor
from torch.nn import functional

HERE = torch.ones(1, 1, dtype=torch.bool)


def t(*values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[None]


def shot(shape: Shape, origin: tuple[float, ...], direction: tuple[float, ...]) -> tuple[float, list[float]]:
    """Length and normal of one ray against the only surface."""
    lengths, normals = shape.meet(t(origin), t(direction))
    return float(lengths), normals[0, 0, 0].tolist()


BALL = Balls(t([0.0, 1.0, -5.0]), t(2.0), HERE)
BOX = Boxes(t([0.0, 1.0, -5.0]), t([1.0, 2.0, 3.0]), t(0.0), HERE)
TUBE = Cylinders(t([0.0, 1.0, -5.0]), t(2.0), t(1.0), HERE)
FLOOR = Planes(t([0.0, 1.0, 0.0]), t(-1.0))


@pytest.mark.parametrize(
    ("shape", "origin", "direction", "length", "normal"),
    [
        (BALL, (0, 1, 0), (0, 0, -1), 3, (0, 0, 1)),
        (BALL, (0, 1, 0), (0, 0, -2), 1.5, (0, 0, 1)),  # in units of the direction's length
        (BALL, (1, 1, 0), (0, 0, -1), 5 - math.sqrt(3), (0.5, 0, math.sqrt(3) / 2)),
        (BALL, (2.1, 1, 0), (0, 0, -1), math.inf, None),
        (BALL, (0, 1, 0), (0, 0, 1), math.inf, None),  # behind
        (BOX, (0.5, 1, 0), (0, 0, -1), 2, (0, 0, 1)),
        (BOX, (0.5, 5, -5), (0, -1, 0), 2, (0, 1, 0)),
        (BOX, (-4, 1, -5), (1, 0, 0), 3, (-1, 0, 0)),
        (BOX, (1.01, 1, 0), (0, 0, -1), math.inf, None),
        (TUBE, (1, 1, 0), (0, 0, -1), 5 - math.sqrt(3), (0.5, 0, math.sqrt(3) / 2)),
        (TUBE, (1, 4, -5), (0, -1, 0), 2, (0, 1, 0)),
        (TUBE, (1, -4, -5), (0, 1, 0), 4, (0, -1, 0)),
        (TUBE, (0, 2.5, 0), (0, 0, -1), math.inf, None),
        (FLOOR, (0, 1, 0), (0, -1, -1), 2, (0, 1, 0)),
        (FLOOR, (0, -3, 0), (0, 1, 0), 2, (0, -1, 0)),  # seen from below
        (FLOOR, (0, 1, 0), (0, 1, -1), math.inf, None),
    ],
)
def test_closed_forms(
    shape: Shape,
    origin: tuple[float, ...],
    direction: tuple[float, ...],
    length: float,
    normal: tuple[float, ...] | None,
) -> None:
    found, facing = shot(shape, origin, direction)
    assert found == pytest.approx(length)
    if normal is not None:
        assert facing == pytest.approx(list(normal), abs=1e-12)


def test_a_box_that_is_turned() -> None:
    turned = Boxes(t([0.0, 0.0, -5.0]), t([1.0, 1.0, 1.0]), t(math.pi / 4), HERE)
    found, _ = shot(turned, (0.001, 0, 0), (0, 0, -1))
    assert found == pytest.approx(5 - math.sqrt(2) + 0.001)  # an edge looks at the camera
    _, normal = shot(turned, (0.5, 0, 0), (0, 0, -1))
    assert normal == pytest.approx([math.sqrt(0.5), 0, math.sqrt(0.5)])


def test_what_is_absent_is_not_seen() -> None:
    nothing = ~HERE
    for shape in (
        Balls(BALL.centers, BALL.radii, nothing),
        Boxes(BOX.centers, BOX.halves, BOX.yaws, nothing),
        Cylinders(TUBE.centers, TUBE.radii, TUBE.halves, nothing),
    ):
        assert shot(shape, (0, 1, 0), (0, 0, -1))[0] == math.inf


def random_rays(count: int = 4000) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    origin = functional.normalize(torch.randn(1, count, 3, generator=generator, dtype=torch.float64), dim=-1) * 9
    aim = 4 * torch.rand(1, count, 3, generator=generator, dtype=torch.float64) - 2
    return origin + torch.tensor([0.0, 1, -5]), aim - origin


@pytest.mark.parametrize("shape", [BALL, BOX, TUBE], ids=["ball", "box", "cylinder"])
def test_points_lie_on_the_surface_and_normals_are_its(shape: Shape) -> None:
    """For each shape a function that is 1 on the surface and less inside; its gradient is along the normal."""
    origins, rays = random_rays()
    lengths, normals = (value.squeeze(2) for value in shape.meet(origins, rays))
    hit = lengths.isfinite()
    assert 0.1 < float(hit.double().mean()) < 1
    points = (origins + lengths.unsqueeze(-1) * rays)[hit].requires_grad_()
    local = points - torch.tensor([0.0, 1, -5])
    if shape is BALL:
        level = local.norm(dim=-1) / 2
    elif shape is BOX:
        level = (local / torch.tensor([1.0, 2, 3])).abs().amax(dim=-1)
    else:
        level = torch.maximum(local[:, ::2].norm(dim=-1) / 2, local[:, 1].abs())
    torch.testing.assert_close(level, torch.ones_like(level))
    (gradient,) = torch.autograd.grad(level.sum(), points)
    torch.testing.assert_close(normals[hit], functional.normalize(gradient, dim=-1))
    assert float((normals[hit] * rays[hit]).sum(-1).max()) < 0  # towards the ray


def test_the_nearest_surface_is_seen_and_told() -> None:
    shapes = (FLOOR, BOX, BALL)
    directions = torch.stack([t(0.0, 0.0, -1.0), t(0.0, -1.0, 0.0), t(0.0, 1.0, 0.0)], dim=1)
    hits = trace(shapes, t([0.0, 1.5, 0.0]), directions)
    assert hits.lengths[0].tolist() == pytest.approx([2, 2.5, math.inf])  # the box hides the ball
    assert hits.surfaces[0, :2].tolist() == [1, 0]
    assert hits.normals[0, 0].tolist() == [0, 0, 1]


def test_camera_axes() -> None:
    def camera(yaw: float, pitch: float) -> Camera:
        return Camera(t(0.0, 0.0, 0.0), *(torch.tensor([value], dtype=torch.float64) for value in (yaw, pitch, 1.0)))

    ahead = camera(0, 0)
    torch.testing.assert_close(ahead.axes, torch.eye(3, dtype=torch.float64)[None])
    rays = ahead.rays(4, 6)[0].view(4, 6, 3)
    assert rays[0, 0].tolist() == pytest.approx([-2.5 / 4, 1.5 / 4, -1])  # up is the first row, right the last column
    assert rays[3, 5].tolist() == pytest.approx([2.5 / 4, -1.5 / 4, -1])
    left = camera(math.pi / 2, 0).axes[0]
    assert (-left[2]).tolist() == pytest.approx([-1, 0, 0], abs=1e-12)  # looks along −x
    up = camera(0, math.pi / 6).axes[0]
    assert (-up[2]).tolist() == pytest.approx([0, 0.5, -math.sqrt(0.75)])
    both = camera(0.7, -0.4).axes[0]
    torch.testing.assert_close(both @ both.T, torch.eye(3, dtype=torch.float64))
    assert float(torch.linalg.det(both)) == pytest.approx(1)


def materials(pattern: int) -> Materials:
    return Materials(
        colors=t([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]),
        patterns=torch.tensor([[pattern]]),
        periods=t(0.5),
        phases=t([0.25, 0.25, 0.25]),
        axes=t([1.0, 0.0, 0.0]),
    )


def test_patterns_alternate_with_their_period() -> None:
    points = torch.stack([torch.tensor([0.05 + 0.5 * i, 0.0, 0.5 * (i // 2)]) for i in range(4)])[None].double()
    surfaces = torch.zeros(1, 4, dtype=torch.long)
    assert materials(0).at(points, surfaces)[0, :, 0].tolist() == [1, 1, 1, 1]
    assert materials(1).at(points, surfaces)[0, :, 0].tolist() == [1, 0, 0, 1]
    assert materials(2).at(points, surfaces)[0, :, 0].tolist() == [1, 0, 1, 0]


def test_light_falls_by_the_cosine_and_shadows_are_cast() -> None:
    """A lamp 3 above the floor, and a ball between it and part of the floor."""
    ball = Balls(t([2.0, 0.5, 0.0]), t(0.3), HERE)
    plain = Materials(
        colors=torch.ones(1, 2, 2, 3, dtype=torch.float64),
        patterns=torch.zeros(1, 2, dtype=torch.long),
        periods=torch.ones(1, 2, dtype=torch.float64),
        phases=torch.zeros(1, 2, 3, dtype=torch.float64),
        axes=torch.zeros(1, 2, 3, dtype=torch.float64),
    )
    eye, spots = t([0.0, 3.0, 0.0]), t([0.0, -1.0, 0.0], [4.0, -1.0, 0.0], [3.2, -1.0, 0.0], [-4.0, -1.0, 0.0])
    hits = trace((FLOOR, ball), t([0.0, 9.0, 9.0]), spots - t([0.0, 9.0, 9.0]))
    assert hits.surfaces[0].tolist() == [0, 0, 0, 0]
    seen = shade((FLOOR, ball), plain, Light(eye[:, 0], 0.4), spots, hits)[0, :, 0].tolist()
    # The ray from (3.2, −1) to the lamp passes the ball's center at distance 0; that from (4, −1) clears it.
    assert seen == pytest.approx([0.4 + 0.6, 0.4 + 0.6 * 4 / math.sqrt(32), 0.4, 0.4 + 0.6 * 4 / math.sqrt(32)])
