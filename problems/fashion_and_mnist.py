"""`fashion_and_mnist`: a Fashion-MNIST item and an MNIST digit that overlap in one image."""

from __future__ import annotations

from typing import ClassVar

from moframework.config import config

from .mnist_files import FASHION_MNIST, MNIST
from .overlaid_mnist import Layer, OverlaidMNIST
from .overlay import Resampling

__all__ = ["FashionAndMNIST"]


@config
class FashionAndMNIST(OverlaidMNIST):
    """Tell a Fashion-MNIST item (left, upper) and the MNIST digit (right, lower) that overlaps it.

    The two tasks differ in difficulty, which two of a kind do not.

    **Source, license, how to obtain:** as `multifashion` and `multimnist`.

    **Construction**, that of `multimnist`, with one image of each set, drawn independently. Which of the two lies at
    the upper left in the images of Pareto MTL, PHN and COSMOS, who keep 36×36 pixels, their code does not say.

    **Tasks.** `fashion` and `digit`: cross-entropy over 10 classes; accuracy. **Reference point** (1, 1). The tensors
    take 220 MB.

    With the weight of the cosine that COSMOS has for it::

        problem: fashion_and_mnist
        solver: {name: cosmos, objective: {name: cosine_penalty, coefficient: 8}}
    """

    name: ClassVar[str] = "fashion_and_mnist"
    layers: ClassVar[tuple[Layer, ...]] = (Layer("fashion", FASHION_MNIST, (0, 0)), Layer("digit", MNIST, (6, 6)))
    canvas: ClassVar[tuple[int, int]] = (36, 36)
    resampling: ClassVar[Resampling] = "bicubic"
