"""`multimnist`: two overlapping MNIST digits in one image, the standard first benchmark of Pareto front learning."""

from __future__ import annotations

from typing import ClassVar

from moframework.config import config

from .mnist_files import MNIST
from .overlaid_mnist import Layer, OverlaidMNIST
from .overlay import Resampling

__all__ = ["MultiMNIST"]


@config
class MultiMNIST(OverlaidMNIST):
    """Tell the left (upper) and the right (lower) of two overlapping MNIST digits.

    **Source.** MNIST (Y. LeCun, C. Cortes, C. Burges; http://yann.lecun.com/exdb/mnist/): 70,000 digits of 28×28.
    **License.** Creative Commons Attribution-ShareAlike 3.0. **How to obtain.** The four IDX files are read from
    `root/MNIST/raw`, where torchvision puts them too, plain or gzip-compressed; what is missing is downloaded from
    torchvision's mirrors and verified.

    **Construction**, as the authors of PaMaL and PaLoRA have it: two different images of one MNIST part are put at
    (0, 0) and (6, 6) of a 36×36 canvas, where the brighter pixel wins, and the canvas is resized to 28×28 (bicubic, as
    Pillow does). Draws and splits: see `OverlaidMNIST`.

    **Tasks.** `left` and `right`: cross-entropy over 10 classes; accuracy. **Reference point** (1, 1). The tensors take
    220 MB.

    With the batches and the optimizer of PaLoRA's experiments::

        problem: multimnist
        solver: {name: palora, rank: 1}
        training: {epochs: 10, batch_size: 256, optimizer: {name: adam, lr: 1e-3}}
    """

    name: ClassVar[str] = "multimnist"
    layers: ClassVar[tuple[Layer, ...]] = (Layer("left", MNIST, (0, 0)), Layer("right", MNIST, (6, 6)))
    canvas: ClassVar[tuple[int, int]] = (36, 36)
    resampling: ClassVar[Resampling] = "bicubic"
