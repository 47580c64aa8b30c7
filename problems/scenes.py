"""`scenes`: rendered rooms with exact semantic labels, depth and surface normals. Needs no download."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import attrs
import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from moframework.augmentations import MapKind
from moframework.backbones.base import Backbone
from moframework.backbones.segnet import SegNet
from moframework.config import config, option
from moframework.data import SPLITS, Split, TensorData, check_split
from moframework.data.cache import cached_tensors
from moframework.problem import Problem
from moframework.problem.task import Task

from . import scene_tasks
from .raycaster import Balls, Boxes, Camera, Cylinders, Light, Materials, Planes, Shape, shade, trace

__all__ = ["Scenes", "World", "draw_world", "render"]

_CONSTRUCTION = 1  # part of the cache's key: raise it whenever the same options give other tensors
_CHUNK = 16  # scenes rendered at once: some 100 MB at the default size
_NOISE = 0.02  # standard deviation of the camera's noise
_WALLS = 4


@config
class Scenes(Problem):
    """Understand a rendered room: what each pixel shows, how far away it is, and how its surface is turned.

    **Source.** Made here by a ray caster (`moframework.problems.raycaster`), from nothing but `seed`. **License.** That
    of moframework. **How to obtain.** Rendered when first asked for, in seconds, and cached: see
    `moframework.data.cache`.

    **Construction.** A room with floor and walls holds up to `objects` boxes, balls and upright cylinders each, which
    may touch and overlap. Sizes, places, plain or patterned surfaces, colors, a lamp that casts shadows, and the
    camera's place, direction and focal length are drawn for each image; the image gets a little noise. Colors and
    patterns tell nothing of the class, unless `classes` says so. Every split has a stream of random numbers of its own:
    no scene is in two of them. Labels, depths and normals are those of the point that the center of the pixel shows,
    exact to float32: nothing is smoothed at edges.

    **Tasks**, as for `nyuv2` (see `moframework.problems.scene_tasks`): `segmentation`, cross-entropy over 5 classes
    (floor, wall, box, ball, cylinder) or 8; `depth` along the optical axis in meters, mean absolute error where it is
    known, for a share `holes` of pixels it is not, as with depth cameras; `normal`, 1 − cosine, in the camera's axes:
    x right, y up, z towards the viewer. **Reference point** (1.3, 1.5, 0.4): about what it costs to answer every pixel
    alike on the default test images (frequencies of the classes, median depth, mean normal: 1.22, 1.48, 0.38), so that
    only models that are of use on all three tasks add volume.

    >>> problem = Scenes(size=(16, 16), train=1, val=1, test=1)
    >>> inputs, targets = problem.data("test")[0]
    >>> {key: tuple(target.shape) for key, target in targets.items()}
    {'segmentation': (16, 16), 'depth': (1, 16, 16), 'normal': (3, 16, 16)}
    """

    size: tuple[int, int] = option((48, 64), ge=8, le=4096, help="height and width of the images")
    train: int = option(2000, ge=1, le=20_000, help="images for training")
    val: int = option(200, ge=1, le=20_000, help="images for validation")
    test: int = option(400, ge=1, le=20_000, help="images for the final test")
    objects: int = option(3, ge=0, le=1000, help="boxes, balls and cylinders in a room, at most so many of each")
    classes: Literal["shapes", "shapes_and_patterns"] = option(
        "shapes",
        help="shapes: floor, wall, box, ball, cylinder; shapes_and_patterns: plain and patterned objects differ",
    )
    holes: float = option(0.02, ge=0, lt=1, help="share of pixels whose depth is unknown (0)")
    seed: int = option(0, ge=0, lt=2**32, help="of the scenes")

    @property
    def tasks(self) -> tuple[Task, ...]:
        """`segmentation`, `depth` and `normal`."""
        classes = 5 if self.classes == "shapes" else 8
        return (scene_tasks.segmentation(classes), scene_tasks.depth(), scene_tasks.normal())

    @property
    def network(self) -> Backbone:
        """A narrow SegNet: width 8 instead of 64."""
        return SegNet(width=8)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(3, *size)."""
        return (3, *self.size)

    @property
    def maps(self) -> Mapping[str, MapKind]:
        """Classes, depth and normals."""
        return scene_tasks.MAPS

    @property
    def reference(self) -> tuple[float, ...]:
        """(1.3, 1.5, 0.4)."""
        return (1.3, 1.5, 0.4)

    def data(self, split: Split) -> TensorData:
        """Images (n, 3, h, w), float32 in [0, 1] in steps of 1/255; targets `segmentation` (n, h, w), int64; `depth`
        (n, 1, h, w), float32, meters, 0 where unknown; `normal` (n, 3, h, w), float32, unit length."""
        position = SPLITS.index(check_split(split))
        count = (self.train, self.val, self.test)[position]
        key = {
            "construction": _CONSTRUCTION,
            "size": list(self.size),
            "count": count,
            "objects": self.objects,
            "classes": self.classes,
            "holes": self.holes,
            "seed": self.seed,
            "split": split,
        }
        tensors = cached_tensors("scenes", key, lambda: self._construct(position, count))
        targets = {
            "segmentation": tensors["segmentation"].long(),
            "depth": tensors["depth"],
            "normal": tensors["normal"],
        }
        return TensorData(tensors["images"].float() / 255, targets)

    def _construct(self, position: int, count: int) -> dict[str, Tensor]:
        """One split; images and labels in bytes, which is a third of the whole."""
        generator = np.random.RandomState([self.seed, position])
        world = draw_world(count, self.objects, generator)
        if self.classes == "shapes_and_patterns":
            patterned = (world.materials.patterns > 0) & (world.labels > 1)
            world = attrs.evolve(world, labels=world.labels + 3 * patterned)
        parts = []
        for start in range(0, count, _CHUNK):
            images, labels, depths, normals = render(_rows(world, slice(start, start + _CHUNK)), self.size)
            noise = _NOISE * generator.standard_normal(images.shape)
            images = ((images + torch.from_numpy(noise)).clamp(0, 1) * 255).round().byte()
            known = torch.from_numpy(generator.random_sample(depths.shape) >= self.holes)
            parts.append((images, labels.byte(), depths * known, normals))
        names = ("images", "segmentation", "depth", "normal")
        return {name: torch.cat(pieces) for name, *pieces in zip(names, *parts, strict=True)}


@frozen
class World:
    """n scenes: all that their images depend on. `labels` (n, s) is the class of each surface, in the order of
    `shapes`."""

    shapes: tuple[Shape, ...]
    labels: Tensor
    materials: Materials
    light: Light
    camera: Camera


def render(world: World, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the cameras see, at (height, width) pixels.

    Returns:
        colors (n, 3, h, w) in [0, 1]; labels (n, h, w), int64; depths (n, 1, h, w) along the optical axis; unit normals
        (n, 3, h, w) in the camera's axes.
    """
    rays = world.camera.rays(*size)
    origins = world.camera.positions[:, None]
    hits = trace(world.shapes, origins, rays)
    points = origins + hits.lengths.unsqueeze(-1) * rays
    colors = shade(world.shapes, world.materials, world.light, points, hits)
    labels = world.labels.gather(1, hits.surfaces)
    normals = hits.normals @ world.camera.axes.mT
    images, depths, turned = (
        value.mT.reshape(len(value), -1, *size) for value in (colors, hits.lengths.unsqueeze(-1), normals)
    )
    return images, labels.view(-1, *size), depths, turned


def draw_world(count: int, objects: int, generator: np.random.RandomState) -> World:
    """Draw scenes: rooms 5 to 9 m wide and 4.5 to 8 m deep, seen from inside at eye level, looking slightly down.

    Args:
        count: number of scenes n.
        objects: at most so many boxes, balls and cylinders each.
        generator: numpy's `RandomState`, whose stream is the same in every version for ever.
    """

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.from_numpy(generator.uniform(low, high, (count, *shape))).float()

    width, back = uniform(2.5, 4.5), uniform(4.5, 8.0)
    position = torch.stack([uniform(-0.5, 0.5), uniform(1.0, 1.9), uniform(-0.3, 0.3)], dim=-1)
    yaw = uniform(-0.35, 0.35)
    camera = Camera(position, yaw, uniform(-0.45, -0.15), 0.5 / torch.tan(uniform(0.45, 0.56)))
    light = Light(torch.stack([uniform(-0.8, 0.8) * width, uniform(2.8, 4.0), uniform(-0.8, 0.2) * back], dim=-1), 0.35)

    def standing(half_heights: Tensor) -> Tensor:
        """Centers of objects on the floor, where the camera looks."""
        turn = yaw[:, None] + uniform(-0.55, 0.55, objects)
        away = uniform(1.8, 5.5, objects)
        x = position[:, :1] - away * turn.sin()
        z = position[:, 2:] - away * turn.cos()
        inside = torch.minimum(torch.maximum(x, 0.3 - width[:, None]), width[:, None] - 0.3)
        return torch.stack([inside, half_heights, torch.maximum(z, 0.3 - back[:, None])], dim=-1)

    def present() -> Tensor:
        """Any number of them, from none to all, is equally likely."""
        wanted = torch.from_numpy(generator.randint(0, objects + 1, (count, 1)))
        return torch.arange(objects) < wanted

    normals = torch.tensor([[0.0, 1, 0], [0, 0, 1], [1, 0, 0], [-1, 0, 0], [0, 0, -1]]).expand(count, -1, -1)
    offsets = torch.stack([torch.zeros(count), -back, -width, -width, torch.full((count,), -3.0)], dim=-1)
    radii, tube, tube_halves = uniform(0.2, 0.6, objects), uniform(0.15, 0.4, objects), uniform(0.2, 0.8, objects)
    halves = torch.stack([uniform(0.2, 0.55, objects), uniform(0.15, 0.8, objects), uniform(0.2, 0.55, objects)], -1)
    shapes = (
        Planes(normals, offsets),
        Boxes(standing(halves[..., 1]), halves, uniform(0, math.pi, objects), present()),
        Balls(standing(radii), radii, present()),
        Cylinders(standing(tube_halves), tube, tube_halves, present()),
    )
    labels = torch.tensor([0] + [1] * _WALLS + [2] * objects + [3] * objects + [4] * objects).expand(count, -1)
    return World(shapes, labels, _draw_materials(count, labels.shape[1], generator), light, camera)


def _draw_materials(count: int, surfaces: int, generator: np.random.RandomState) -> Materials:
    """Colors and patterns that tell nothing of what a surface belongs to."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.from_numpy(generator.uniform(low, high, (count, surfaces, *shape))).float()

    axes = torch.nn.functional.normalize(uniform(-1, 1, 3), dim=-1)
    patterns = torch.from_numpy(generator.randint(0, 3, (count, surfaces)))
    return Materials(
        colors=uniform(0.1, 1.0, 2, 3),
        patterns=patterns,
        periods=uniform(0.15, 0.5),
        phases=uniform(0, 1, 3),
        axes=axes,
    )


def _rows(part: Any, rows: slice) -> Any:
    """The chosen scenes of anything made of tensors (n, ...)."""
    if isinstance(part, Tensor):
        return part[rows]
    if isinstance(part, tuple):
        return tuple(_rows(item, rows) for item in part)
    if attrs.has(type(part)):
        values = {field.name: _rows(getattr(part, field.name), rows) for field in attrs.fields(type(part))}
        return type(part)(**values)
    return part
