"""`multimnist3`: three overlapping MNIST digits in one image."""

from __future__ import annotations

from typing import ClassVar

from moframework.config import config

from .mnist_files import MNIST
from .overlaid_mnist import Layer, OverlaidMNIST
from .overlay import Resampling

__all__ = ["MultiMNIST3"]


@config
class MultiMNIST3(OverlaidMNIST):
    """Tell the left, the bottom and the right of three overlapping MNIST digits.

    **Source, license, how to obtain:** as `multimnist`.

    **Construction**, as in the code of PaMaL (github.com/nik-dim/pamal): three different images of one MNIST part are
    put at (0, 0), (14, 7) and (0, 14) of a 42×42 canvas, where the brighter pixel wins, and the canvas is resized to
    28×28. There it is torchvision 0.15 that resizes a tensor: bilinear, without antialiasing. Draws and splits: see
    `OverlaidMNIST`.

    **Tasks.** `left`, `bottom` and `right`, which are tasks 1, 2 and 3 of the paper: cross-entropy over 10 classes;
    accuracy. **Reference point** (1, 1, 1). The tensors take 220 MB.

    Six preferences a batch, which are a lattice of three tasks::

        problem: multimnist3
        solver: {name: palora, preferences: {name: annealed, per_batch: 6}}
    """

    name: ClassVar[str] = "multimnist3"
    layers: ClassVar[tuple[Layer, ...]] = (
        Layer("left", MNIST, (0, 0)),
        Layer("bottom", MNIST, (14, 7)),
        Layer("right", MNIST, (0, 14)),
    )
    canvas: ClassVar[tuple[int, int]] = (42, 42)
    resampling: ClassVar[Resampling] = "bilinear"
