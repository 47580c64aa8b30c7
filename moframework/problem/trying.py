"""What is tried out before training: calls of anybody's code, and batches of every size that training will have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from moframework.augmentations import Augmentation, MapKind, augmented
from moframework.blame import line_of
from moframework.data import Batch, Dataset, batches, sample_rows
from moframework.errors import SpecError
from moframework.inputs import Tree, named_leaves

__all__ = ["about_sizes", "idle_notes", "training_batches", "tried"]

T = TypeVar("T")
Shapes = dict[str, torch.Size]

_MOMENTS = 64
"""Moments of a training at which augmentations are asked what they are then."""


def tried(action: Callable[[], T], failure: str, about_types: str = "") -> T:
    """What `action` returns.

    Args:
        failure: what has failed where it raises.
        about_types: advice, where its error speaks of types.

    Raises:
        SpecError: it raises; the text has both, and the line of a user's own code.
    """
    try:
        return action()
    except Exception as error:  # of anybody's code
        name = "" if isinstance(error, ValueError | RuntimeError) else f"{type(error).__name__}: "
        advice = about_types if "type" in str(error).lower() else ""
        raise SpecError(f"{failure}: {name}{error}{advice}{line_of(error)}") from error


def training_batches(
    augmentations: Sequence[Augmentation], x: Tree, targets: dict[str, Tensor], maps: Mapping[str, MapKind]
) -> list[Batch]:
    """A batch after all augmentations: first as training ends, then in every other size that it has before.

    Raises:
        SpecError: an augmentation cannot be applied, or changes another shape than the size of images and their maps.
    """
    found: dict[tuple[torch.Size, ...], Batch] = {}
    seen: list[Sequence[Augmentation]] = []
    for moment in range(_MOMENTS, -1, -1):
        parts = [part.at(moment / _MOMENTS) for part in augmentations]
        if parts not in seen:
            seen.append(parts)
            batch = _after(augmentations, moment / _MOMENTS, x, targets, maps)
            found.setdefault(tuple(_shapes(*batch).values()), batch)
    return list(found.values())


def about_sizes(augmentations: Sequence[Augmentation], last: Batch, smaller: Batch, error: SpecError) -> str:
    """What to say where a network goes with the images that training ends with, and not with those of before."""
    names = [type(part).__name__ for part in augmentations if part.at(0.0) != part.at(1.0)]
    images = [next(leaf for leaf in named_leaves(x).values() if leaf.dim() == 4) for x, _ in (last, smaller)]
    whole, other = (f"{image.shape[-2]}x{image.shape[-1]}" for image in images)
    return (
        f"problem.augmentation: the network takes images of {whole}, but not those of {other} that training has before "
        f"({' and '.join(names)}): {error}. Leave the augmentation out, let it begin with larger images or round sides "
        "to other multiples, or choose a network that takes images of any size"
    )


def idle_notes(augmentations: Sequence[Augmentation], data: Dataset, maps: Mapping[str, MapKind]) -> list[str]:
    """What to tell of augmentations that change in the course of a training, but not for these samples: such as images
    too small to be made smaller. Two samples are looked at.

    Raises:
        SpecError: an augmentation cannot be applied.
    """
    moving = [part for part in augmentations if part.at(0.0) != part.at(1.0)]
    if not moving:
        return []
    few = sample_rows(data, 2)
    x, targets = next(batches(data, len(few), order=few, device="cpu"))
    return [
        f"augmentation {type(part).__name__} changes nothing in the course of this training: batches at its start are "
        "as they are at its end; let it begin with smaller images, round sides to smaller multiples, or leave it out"
        for part in moving
        if _same(*(_after([part], moment, x, targets, maps) for moment in (0.0, 1.0)))
    ]


def _same(one: Batch, other: Batch) -> bool:
    """Whether two batches of the same samples are equal."""
    pairs = zip(*([*named_leaves(x).values(), *targets.values()] for x, targets in (one, other)), strict=True)
    return all(torch.equal(first, second) for first, second in pairs)


def _after(
    augmentations: Sequence[Augmentation],
    progress: float,
    x: Tree,
    targets: dict[str, Tensor],
    maps: Mapping[str, MapKind],
) -> Batch:
    generator = torch.Generator().manual_seed(0)
    for position, part in enumerate(augmentations):
        where = f"augmentation {position + 1} ({type(part).__name__})"
        before = _shapes(x, targets)
        x, targets = tried(
            lambda part=part, x=x, targets=targets: augmented([part], x, targets, maps, generator, progress),  # type: ignore[misc]
            f"{where} cannot be applied",
        )
        _check_shapes(where, before, _shapes(x, targets), {f"target '{key}'" for key in maps})
    return x, targets


def _shapes(x: Tree, targets: dict[str, Tensor]) -> Shapes:
    inputs = {f"the input '{path}'" if path else "the inputs": leaf.shape for path, leaf in named_leaves(x).items()}
    return inputs | {f"target '{key}'": target.shape for key, target in targets.items()}


def _check_shapes(where: str, before: Shapes, after: Shapes, maps: set[str]) -> None:
    """Raise `SpecError` where anything has another shape after, unless images and all maps have another size alike."""
    inputs = {what for what in before if not what.startswith("target ")}
    images = {what for what, shape in before.items() if what in maps or (what in inputs and len(shape) == 4)}
    changed = [what for what, shape in before.items() if after.get(what) != shape]
    alike = set(changed) == images and len({after[what][-2:] for what in images & after.keys()}) == 1
    for what in changed:
        shape, found = before[what], after.get(what)
        if not alike or found is None or found[:-2] != shape[:-2]:
            raise SpecError(
                f"{where} must leave {what} in the shape {tuple(shape)}, but it is "
                f"{'gone' if found is None else tuple(found)} after. Only the height and width of images may change, "
                "and of all of their maps alike"
            )
