"""The contract of an augmentation, and what several of them need."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Generator, Tensor

from moframework.config import Component
from moframework.inputs.trees import Tree, named_leaves, replaced_leaf

__all__ = ["Augmentation", "MapKind", "augmented", "check_maps"]

MapKind = Literal["classes", "values", "depth", "normals"]
"""What a target shows that has a value for each pixel of the image.

`classes`: integers (b, h, w), some of which may mean unknown; `values`: numbers without geometric meaning
(b, ..., h, w); `depth`: distances (b, ..., h, w), 0 for unknown; `normals`: directions (b, 3, h, w) with x along the
image's rows, zeros for unknown.
"""

Targets = dict[str, Tensor]


class Augmentation(Component, kind="augmentations"):
    """A change of a batch, mostly a random one, that leaves its targets right; applied in training only.

    Implementations are pure, draw from the generator alone (on the host, so that every device sees the same numbers),
    and read nothing back from the device.

    >>> import torch
    >>> from moframework.config import config, option
    >>> @config
    ... class Noise(Augmentation):
    ...     "Normal noise on all inputs."
    ...     deviation: float = option(0.1, ge=0, help="of the noise")
    ...     def apply(self, x, targets, maps, generator):
    ...         return x + self.deviation * torch.randn(x.shape, generator=generator).to(x), targets
    >>> x, _ = Noise(deviation=0.0).apply(torch.ones(1, 2), {}, {}, Generator())
    >>> x
    tensor([[1., 1.]])
    """

    @abstractmethod
    def apply(
        self, x: Tensor, targets: Targets, maps: Mapping[str, MapKind], generator: Generator
    ) -> tuple[Tensor, Targets]:
        """The changed batch: new tensors, or the same ones where nothing changes.

        Images may come out in another height and width, then all images and maps of a batch alike. Everything else
        keeps its shape.

        Args:
            x: inputs (b, ...).
            targets: by key, (b, ...).
            maps: what those targets show that go with the pixels of x; others belong to the sample as a whole.
            generator: on the CPU.

        Raises:
            ValueError: it cannot be applied to such a batch.
        """

    def at(self, progress: float) -> Augmentation:
        """What is applied at a moment of training, where that changes; itself, which is the default, where it does not.
        Pure.

        Args:
            progress: the share of the training steps that are done, in [0, 1); 1 asks how it ends.
        """
        return self


def augmented(
    augmentations: Sequence[Augmentation],
    x: Tree,
    targets: Targets,
    maps: Mapping[str, MapKind],
    generator: Generator,
    progress: float = 1.0,
) -> tuple[Tree, Targets]:
    """A batch after all augmentations, in their order. Takes what `Augmentation.apply` and `Augmentation.at` take.

    Of inputs that are more than one tensor, those are changed that are images (b, channels, height, width) of
    floating-point numbers, all of a sample in the same way; the rest stays as it is.

    Raises:
        ValueError: an augmentation cannot be applied; none of several inputs is an image, or they differ in size.
    """
    for given in augmentations:
        augmentation = given.at(progress)
        if isinstance(x, Tensor):
            x, targets = augmentation.apply(x, targets, maps, generator)
        else:
            x, targets = _images_augmented(augmentation, x, targets, maps, generator)
    return x, targets


def _images_augmented(
    augmentation: Augmentation, x: Tree, targets: Targets, maps: Mapping[str, MapKind], generator: Generator
) -> tuple[Tree, Targets]:
    leaves = named_leaves(x)
    images = [path for path, leaf in leaves.items() if leaf.dim() == 4 and leaf.is_floating_point()]
    sizes = {path: tuple(leaves[path].shape[-2:]) for path in images}
    if not images:
        shown = ", ".join(f"'{path}' {tuple(leaf.shape)} {leaf.dtype}" for path, leaf in leaves.items())
        raise ValueError(f"it changes images (b, channels, height, width), but none of the inputs is one: {shown}")
    if len(set(sizes.values())) > 1:
        raise ValueError(f"images of several sizes in one sample cannot be changed alike: {sizes}")
    changed, start = targets, generator.get_state()
    for path in images:
        generator.set_state(start)  # the same numbers for each image of a sample
        image, changed = augmentation.apply(leaves[path], targets, maps, generator)
        x = replaced_leaf(x, path, lambda _, image=image: image)  # type: ignore[misc]
    return x, changed


def check_maps(x: Tensor, targets: Targets, maps: Mapping[str, MapKind]) -> None:
    """Make sure that images and maps are what a geometric change needs, and that no map was forgotten.

    Looks at shapes and types only.

    Raises:
        ValueError: inputs are no images, or a target is not as `maps` says, or is as large as the image without being
            among them.
    """
    if x.dim() != 4:
        raise ValueError(f"it changes images (b, channels, height, width), but inputs are {tuple(x.shape)}")
    size = x.shape[-2:]
    for key, target in targets.items():
        shape, kind = tuple(target.shape), maps.get(key)
        same_size = target.dim() >= 3 and target.shape[-2:] == size
        if kind is None:
            if same_size:
                raise ValueError(
                    f"target '{key}' {shape} has a value for each pixel, but the problem does not say what they show: "
                    "put it among the problem's `maps`, as classes, values, depth or normals"
                )
            continue
        if not same_size:
            raise ValueError(
                f"target '{key}' should be a map of {kind} of the images' size {tuple(size)}, but is {shape}"
            )
        if kind == "classes" and target.is_floating_point():
            raise ValueError(f"target '{key}' should be a map of classes, integers, but is {target.dtype}")
        if kind == "normals" and (target.dim() != 4 or target.shape[1] != 3):
            raise ValueError(f"target '{key}' should be a map of normals (b, 3, h, w), but is {shape}")
