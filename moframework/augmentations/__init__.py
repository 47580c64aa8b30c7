"""Augmentations: random changes of training batches, a different one for each sample, computed where the batch is.

What lives here: the interface, and one file for each augmentation. What must not: reading of data, names of targets
(what a target shows is told by the problem), or random numbers from anywhere but the generator given.
"""

from moframework.augmentations.base import Augmentation, MapKind, augmented

__all__ = ["Augmentation", "MapKind", "augmented"]
