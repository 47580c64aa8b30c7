"""`textures`: many faint patterns under noise, each there or not. Needs no download."""

from __future__ import annotations

import functools
import math
from typing import final

import torch
from attrs import frozen
from torch import Tensor
from torch.nn import functional

from moframework.backbones.base import Backbone
from moframework.backbones.lenet import LeNet
from moframework.config import config, option
from moframework.data import SPLITS, Split, TensorData, check_split
from moframework.losses import BinaryCrossEntropy
from moframework.metrics import Accuracy
from moframework.problem import Problem
from moframework.problem.task import Task

__all__ = ["Textures"]

_GROUP = 5  # attributes that go together
_PATCH = 6  # height and width of a texture before it is enlarged
_SIGNAL = 0.25  # over the standard deviation of the noise


@config
class Textures(Problem):
    """Tell which of many textures lie under the noise of an image: as many tasks as there are textures.

    **Source.** Computed here, in the layout of CelebA: forty attributes that are there or not, some rare, some common,
    and in groups that go together as those of faces do. **License.** That of this package. **How to obtain.** Nothing
    is downloaded.

    **Construction.** Texture t is a random image of 6×6 in three channels, enlarged to `side` (bilinear); attribute t
    is there in a share of the images between .1 and .8. In each image five attributes that follow each other share a
    standard normal number g; each adds one of its own, e, and is there where Φ((g + e)/√2) lies below its share: a
    correlation of one half before it is cut. The image is the sum of the textures, each times its attribute less its
    share, at a quarter of their size, plus standard normal noise. Textures and shares are the same for each `seed`;
    it draws the images. A small network cannot tell all of them well at once, so it must choose.

    **Tasks.** `attribute1` …: binary cross-entropy of one logit; accuracy. **Network:** LeNet. **Reference point** 1
    for each: guessing costs at most ln 2 = 0.69 nats.

    >>> problem = Textures(attributes=40, train=100, val=20, test=20)
    >>> problem.data("val").inputs.shape
    torch.Size([20, 3, 16, 16])
    >>> [task.name for task in problem.tasks][-1]
    'attribute40'
    """

    attributes: int = option(10, ge=2, le=200, help="textures, and so tasks")
    side: int = option(16, ge=16, le=256, help="height and width of the images, pixels")
    train: int = option(4_000, ge=1, le=200_000, help="images for training")
    val: int = option(500, ge=1, le=200_000, help="images for validation")
    test: int = option(1_000, ge=1, le=200_000, help="images for the final test")
    seed: int = option(0, ge=0, lt=2**32, help="of the images")

    @property
    def tasks(self) -> tuple[Task, ...]:
        """One for each texture."""
        names = (f"attribute{number}" for number in range(1, self.attributes + 1))
        return tuple(Task(name=name, loss=BinaryCrossEntropy(), metrics=(Accuracy(),)) for name in names)

    @final
    @property
    def network(self) -> Backbone:
        """LeNet."""
        return LeNet()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(3, side, side)."""
        return (3, self.side, self.side)

    @property
    def reference(self) -> tuple[float, ...]:
        """1 for each task."""
        return (1.0,) * self.attributes

    def data(self, split: Split) -> TensorData:
        """Images (n, 3, side, side), float32, and a target (n,) for each task, 0 or 1."""
        position = SPLITS.index(check_split(split))
        count = (self.train, self.val, self.test)[position]
        drawn = _drawn(self.attributes, self.side, count, self.seed, position)
        names = (task.name for task in self.tasks)
        return TensorData(drawn.images, dict(zip(names, drawn.there.unbind(1), strict=True)))


@frozen(eq=False)
class _Drawn:
    images: Tensor  # (n, 3, side, side)
    there: Tensor  # (n, attributes), 0 or 1


@functools.lru_cache(maxsize=4)
def _drawn(attributes: int, side: int, count: int, seed: int, position: int) -> _Drawn:
    fixed = torch.Generator().manual_seed(0)
    own = torch.Generator().manual_seed(1 + 3 * seed + position)
    small = torch.randn(attributes, 3, _PATCH, _PATCH, generator=fixed)
    textures = functional.interpolate(small, side, mode="bilinear")
    shares = torch.rand(attributes, generator=fixed) * 0.7 + 0.1
    groups = torch.randn(count, math.ceil(attributes / _GROUP), generator=own).repeat_interleave(_GROUP, dim=1)
    alone = torch.randn(count, attributes, generator=own)
    there = torch.special.ndtr((groups[:, :attributes] + alone) / math.sqrt(2)) < shares
    signal = torch.einsum("nt,tchw->nchw", there.float() - shares, textures)
    noise = torch.randn(count, 3, side, side, generator=own)
    return _Drawn(_SIGNAL * signal + noise, there.long())
