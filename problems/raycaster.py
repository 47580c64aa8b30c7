"""A small ray caster: exact depth, normals and identity of what each pixel sees, for many scenes at once, on tensors.

World coordinates are meters, y up. A camera looks along −z of its own axes: x right, y up, z back towards the viewer;
so a visible surface has a normal whose angle with the ray is more than 90 degrees. All functions are pure, and take
and return tensors of one floating dtype; `n` scenes, `p` rays a scene, `k` surfaces of one shape a scene.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from attrs import frozen
from torch import Tensor
from torch.nn import functional

__all__ = ["Balls", "Boxes", "Camera", "Cylinders", "Hits", "Light", "Materials", "Planes", "Shape", "shade", "trace"]

# Meters: what is nearer is the surface that a ray starts on. Well above float32's rounding in a room.
_NEAREST = 1e-3
# Stands for a zero in a denominator: a ray parallel to a surface meets it unreachably far away.
_PARALLEL = 1e-12


class Shape(ABC):
    """k surfaces of one kind in each of n scenes."""

    @abstractmethod
    def meet(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Where rays first meet each surface from outside.

        Args:
            origins: (n, p, 3), or (n, 1, 3) for all rays of a scene.
            directions: (n, p, 3), of any length.

        Returns:
            lengths (n, p, k) in units of the directions' lengths, infinite where they do not meet, and unit normals
            (n, p, k, 3), which mean nothing there.
        """


@frozen
class Planes(Shape):
    """Points x with normal · x = offset. `normals` (n, k, 3), unit; `offsets` (n, k)."""

    normals: Tensor
    offsets: Tensor

    def meet(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """See `Shape.meet`."""
        along = directions @ self.normals.mT
        lengths = (self.offsets[:, None] - origins @ self.normals.mT) / _nonzero(along)
        facing = -along.sign().unsqueeze(-1) * self.normals[:, None]
        return _beyond(lengths, lengths > _NEAREST), facing


@frozen
class Balls(Shape):
    """Spheres. `centers` (n, k, 3), `radii` (n, k), `present` (n, k) whether they are there at all."""

    centers: Tensor
    radii: Tensor
    present: Tensor

    def meet(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """See `Shape.meet`."""
        offsets = origins.unsqueeze(2) - self.centers[:, None]
        rays = directions.unsqueeze(2)
        a, b = rays.square().sum(-1), (rays * offsets).sum(-1)
        inside = b.square() - a * (offsets.square().sum(-1) - self.radii[:, None].square())
        lengths = (-b - inside.clamp_min(0).sqrt()) / a
        normals = (offsets + lengths.unsqueeze(-1) * rays) / self.radii[:, None, :, None]
        hit = self.present[:, None] & (inside > 0) & (lengths > _NEAREST)
        return _beyond(lengths, hit), functional.normalize(normals, dim=-1)


@frozen
class Boxes(Shape):
    """Boxes turned about the vertical. `centers` and `halves` (half of each side) (n, k, 3), `yaws` (n, k) radians,
    `present` (n, k)."""

    centers: Tensor
    halves: Tensor
    yaws: Tensor
    present: Tensor

    def meet(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """See `Shape.meet`."""
        axes = _turned(self.yaws)
        start = torch.einsum("nkac,npkc->npka", axes, origins.unsqueeze(2) - self.centers[:, None])
        rays = _nonzero(torch.einsum("nkac,npc->npka", axes, directions))
        halves = self.halves[:, None]
        entries = (-halves * rays.sign() - start) / rays
        exits = (halves * rays.sign() - start) / rays
        lengths, side = entries.max(dim=-1)
        hit = self.present[:, None] & (exits.amin(dim=-1) > lengths) & (lengths > _NEAREST)
        local = -functional.one_hot(side, 3).to(rays) * rays.sign()
        return _beyond(lengths, hit), torch.einsum("nkac,npka->npkc", axes, local)


@frozen
class Cylinders(Shape):
    """Upright cylinders with flat ends. `centers` (n, k, 3), `radii`, `halves` (half of the height) and `present`
    (n, k)."""

    centers: Tensor
    radii: Tensor
    halves: Tensor
    present: Tensor

    def meet(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """See `Shape.meet`."""
        offsets = origins.unsqueeze(2) - self.centers[:, None]
        rays = directions.unsqueeze(2).expand_as(offsets + directions.unsqueeze(2))
        radii, halves, present = self.radii[:, None], self.halves[:, None], self.present[:, None]
        flat, flat_rays = offsets[..., ::2], rays[..., ::2]
        a, b = _nonzero(flat_rays.square().sum(-1)), (flat_rays * flat).sum(-1)
        inside = b.square() - a * (flat.square().sum(-1) - radii.square())
        side = (-b - inside.clamp_min(0).sqrt()) / a
        height = offsets[..., 1] + side * rays[..., 1]
        side = _beyond(side, (inside > 0) & (height.abs() < halves) & (side > _NEAREST))
        fall = _nonzero(rays[..., 1])
        end = (-fall.sign() * halves - offsets[..., 1]) / fall
        across = (flat + end.unsqueeze(-1) * flat_rays).square().sum(-1)
        end = _beyond(end, (across < radii.square()) & (end > _NEAREST))
        lengths = torch.minimum(side, end)
        where = flat + torch.where(side.isfinite(), side, 0).unsqueeze(-1) * flat_rays
        zero = torch.zeros_like(lengths)
        round_normals = torch.stack([where[..., 0], zero, where[..., 1]], dim=-1)
        end_normals = torch.stack([zero, -fall.sign(), zero], dim=-1)
        normals = torch.where((side < end).unsqueeze(-1), functional.normalize(round_normals, dim=-1), end_normals)
        return _beyond(lengths, present), normals


@frozen
class Hits:
    """What n × p rays see first: `lengths` (n, p) in units of their directions, infinite for nothing; unit `normals`
    (n, p, 3) on the ray's side; `surfaces` (n, p), counted through all shapes in their order."""

    lengths: Tensor
    normals: Tensor
    surfaces: Tensor


def trace(shapes: Sequence[Shape], origins: Tensor, directions: Tensor) -> Hits:
    """The nearest surface that each ray meets. Takes rays as `Shape.meet` does."""
    lengths, normals = zip(*(shape.meet(origins, directions) for shape in shapes), strict=True)
    nearest, surfaces = torch.cat(lengths, dim=-1).min(dim=-1)
    chosen = surfaces[..., None, None].expand(*surfaces.shape, 1, 3)
    return Hits(nearest, torch.cat(normals, dim=-2).gather(-2, chosen).squeeze(-2), surfaces)


@frozen
class Camera:
    """Pinhole cameras. `positions` (n, 3); `yaws` to the left and `pitches` upward (n,) in radians, both 0 for a look
    along −z; `focals` (n,), focal length in units of the image's height."""

    positions: Tensor
    yaws: Tensor
    pitches: Tensor
    focals: Tensor

    @property
    def axes(self) -> Tensor:
        """The camera's right, up and back as rows, (n, 3, 3): its product with a world direction is the camera's."""
        cos, sin = self.pitches.cos(), self.pitches.sin()
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        pitch = torch.stack([one, zero, zero, zero, cos, sin, zero, -sin, cos], dim=-1).view(-1, 3, 3)
        return pitch @ _turned(self.yaws)

    def local_rays(self, height: int, width: int) -> Tensor:
        """Directions through the centers of all pixels, row by row, in the camera's axes, (n, height · width, 3).

        Their z is −1: a length along such a ray is a depth.
        """
        count = torch.arange(max(height, width), dtype=self.focals.dtype, device=self.focals.device) + 0.5
        up, right = (height / 2 - count[:height]) / height, (count[:width] - width / 2) / height
        rows, columns = torch.meshgrid(up, right, indexing="ij")
        plane = torch.stack([columns, rows], dim=-1).flatten(0, 1) / self.focals[:, None, None]
        return torch.cat([plane, -torch.ones_like(plane[..., :1])], dim=-1)

    def rays(self, height: int, width: int) -> Tensor:
        """`local_rays` in world coordinates."""
        return self.local_rays(height, width) @ self.axes


@frozen
class Materials:
    """Colors of all s surfaces of n scenes, in the order of `Hits.surfaces`.

    `colors` (n, s, 2, 3) in [0, 1]: two that alternate; `patterns` (n, s): 0 plain (the first color), 1 checks in
    space, 2 stripes; `periods` (n, s) meters; `phases` (n, s, 3) in units of the period; `axes` (n, s, 3): direction
    across the stripes.
    """

    colors: Tensor
    patterns: Tensor
    periods: Tensor
    phases: Tensor
    axes: Tensor

    def at(self, points: Tensor, surfaces: Tensor) -> Tensor:
        """Colors (n, p, 3) at world points (n, p, 3) of the given surfaces (n, p)."""
        scenes = torch.arange(len(points), device=points.device)[:, None]
        scaled = points / self.periods[scenes, surfaces].unsqueeze(-1)
        phases = self.phases[scenes, surfaces]
        checks = (scaled + phases).floor().sum(dim=-1)
        stripes = ((scaled * self.axes[scenes, surfaces]).sum(dim=-1) + phases[..., 0]).floor()
        pattern = self.patterns[scenes, surfaces]
        step = torch.where(pattern == 1, checks, torch.where(pattern == 2, stripes, torch.zeros_like(stripes)))
        return self.colors[scenes, surfaces, step.remainder(2).long()]


@frozen
class Light:
    """A lamp in each scene, at `positions` (n, 3), and even light from above: `ambient` is its share in [0, 1]."""

    positions: Tensor
    ambient: float


def shade(shapes: Sequence[Shape], materials: Materials, light: Light, points: Tensor, hits: Hits) -> Tensor:
    """Colors (n, p, 3) in [0, 1] of what was hit at world points (n, p, 3): matte surfaces, with cast shadows."""
    rays = light.positions[:, None] - points
    blocked = trace(shapes, points, rays).lengths < 1 - _NEAREST
    direct = (functional.normalize(rays, dim=-1) * hits.normals).sum(dim=-1).clamp_min(0)
    even = 0.7 + 0.3 * hits.normals[..., 1]
    strength = light.ambient * even + (1 - light.ambient) * torch.where(blocked, 0, direct)
    return materials.at(points, hits.surfaces) * strength.unsqueeze(-1)


def _turned(yaws: Tensor) -> Tensor:
    """Axes turned to the left about y by yaws (...), as rows, (..., 3, 3)."""
    cos, sin = yaws.cos(), yaws.sin()
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    return torch.stack([cos, zero, -sin, zero, one, zero, sin, zero, cos], dim=-1).view(*yaws.shape, 3, 3)


def _nonzero(values: Tensor) -> Tensor:
    return torch.where(values.abs() < _PARALLEL, torch.full_like(values, _PARALLEL), values)


def _beyond(lengths: Tensor, hit: Tensor) -> Tensor:
    return torch.where(hit, lengths, torch.full_like(lengths, torch.inf))
