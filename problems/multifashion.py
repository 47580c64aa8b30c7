"""`multifashion`: two overlapping Fashion-MNIST items in one image."""

from __future__ import annotations

from typing import ClassVar

from moframework.config import config

from .mnist_files import FASHION_MNIST
from .overlaid_mnist import Layer, OverlaidMNIST
from .overlay import Resampling

__all__ = ["MultiFashion"]


@config
class MultiFashion(OverlaidMNIST):
    """Tell the left (upper) and the right (lower) of two overlapping Fashion-MNIST items.

    **Source.** Fashion-MNIST (H. Xiao, K. Rasul, R. Vollgraf, arXiv 1708.07747): 70,000 photographs of clothing, 28×28,
    10 classes. **License.** MIT. **How to obtain.** As `multimnist`, from `root/FashionMNIST/raw`.

    **Construction**, that of `multimnist`. Pareto MTL, PHN and COSMOS have their own draw of such images and keep them
    at 36×36, so their figures are not those of this problem.

    **Tasks.** `left` and `right`: cross-entropy over 10 classes; accuracy. **Reference point** (1, 1). The tensors take
    220 MB.

    With another draw of the images::

        problem: {name: multifashion, seed: 1}
        solver: pamal
    """

    name: ClassVar[str] = "multifashion"
    layers: ClassVar[tuple[Layer, ...]] = (Layer("left", FASHION_MNIST, (0, 0)), Layer("right", FASHION_MNIST, (6, 6)))
    canvas: ClassVar[tuple[int, int]] = (36, 36)
    resampling: ClassVar[Resampling] = "bicubic"
