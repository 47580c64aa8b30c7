"""`digits`: two handwritten digits in one image, from the data that scikit-learn brings along. Needs no download."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from moframework.config import config, option
from moframework.data import SPLITS, Split, TensorData, check_split

from .overlaid import Overlaid, Place
from .overlay import draw_different, overlay

__all__ = ["Digits"]


@config
class Digits(Overlaid):
    """Tell the left (upper) and the right (lower) of two overlapping handwritten digits.

    **Source.** 1,797 digits of 8×8 pixels: the test set of "Optical Recognition of Handwritten Digits" (E. Alpaydin,
    C. Kaynak, UCI Machine Learning Repository, 1998, doi:10.24432/C50P49), as bundled with scikit-learn.
    **License.** Creative Commons Attribution 4.0. **How to obtain.** It comes with scikit-learn; nothing is downloaded.

    **Construction**, in the manner of MultiMNIST: digits are scaled to [0, 1], enlarged to 16×16 (bilinear), and put at
    (0, 0) and (4, 4) of a 20×20 canvas, where the brighter pixel wins. The source digits are divided 60/20/20 into
    train, val and test, every class alike, before pairs are drawn: no source image is in two splits. A pair always
    holds two different images. The draw is fixed by `seed`.

    **Tasks.** `left` and `right`: cross-entropy over 10 classes; accuracy. Both compete for one small encoder.
    **Reference point** (1, 1), as for MultiMNIST: guessing costs ln 10 = 2.3 nats, so only models that are of use on
    both digits add volume.

    >>> problem = Digits()
    >>> inputs, targets = problem.data("val")[0]
    >>> tuple(inputs.shape), sorted(targets), problem.reference
    ((1, 20, 20), ['left', 'right'], (1.0, 1.0))
    """

    train: int = option(12000, ge=1, le=200_000, help="pairs drawn for training")
    val: int = option(2000, ge=1, le=200_000, help="pairs drawn for validation")
    test: int = option(4000, ge=1, le=200_000, help="pairs drawn for the final test")
    seed: int = option(0, ge=0, lt=2**32, help="of the partition of the source images and of the pairs")

    @property
    def places(self) -> dict[str, Place]:
        """`left` at the upper left corner, `right` at the lower right one."""
        return {"left": (0, 0), "right": (4, 4)}

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(1, 20, 20)."""
        return (1, 20, 20)

    def data(self, split: Split) -> TensorData:
        """Images (n, 1, 20, 20), float32 in [0, 1], and targets `left` and `right` (n,), int64 in [0, 10)."""
        images, labels = _source()
        pairs = self.pairs(split)
        chosen = torch.from_numpy(labels[pairs])
        inputs = overlay(images, torch.from_numpy(pairs), list(self.places.values()), canvas=(20, 20))
        return TensorData(inputs, {"left": chosen[:, 0].contiguous(), "right": chosen[:, 1].contiguous()})

    def pairs(self, split: Split) -> npt.NDArray[np.int64]:
        """Which of the 1,797 source images make up each sample: (n, 2), left then right."""
        position = SPLITS.index(check_split(split))
        own = self._sources()[position]
        count = (self.train, self.val, self.test)[position]
        return own[draw_different(count, len(own), 2, np.random.RandomState([self.seed, 1 + position]))]

    def _sources(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Source images of train, val and test: 60/20/20 of each class."""
        _, labels = _source()
        generator = np.random.RandomState([self.seed, 0])
        parts: tuple[list[npt.NDArray[np.int64]], ...] = ([], [], [])
        for label in range(10):
            members = generator.permutation(np.flatnonzero(labels == label))
            cuts = [round(0.6 * len(members)), round(0.8 * len(members))]
            for part, piece in zip(parts, np.split(members, cuts), strict=True):
                part.append(piece)
        return tuple(np.sort(np.concatenate(part)) for part in parts)


@functools.cache
def _source() -> tuple[Tensor, npt.NDArray[np.int64]]:
    """The digits enlarged to 16×16, (1797, 16, 16) in [0, 1], and their labels (1797,)."""
    from sklearn.datasets import load_digits  # takes a second to import

    bunch = load_digits()
    images = torch.from_numpy(bunch.images).float() / 16
    large = functional.interpolate(images.unsqueeze(1), (16, 16), mode="bilinear", align_corners=False).squeeze(1)
    return large, np.asarray(bunch.target, dtype=np.int64)
