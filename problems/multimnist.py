"""`multimnist`: two overlapping MNIST digits in one image, the standard first benchmark of Pareto front learning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from moframework.backbones.base import Backbone
from moframework.backbones.lenet import LeNet
from moframework.config import config, option
from moframework.data import Split, TensorData, check_split
from moframework.datafiles import cached_tensors, data_folder, download, fingerprint, read_idx
from moframework.errors import DataError
from moframework.losses import CrossEntropy
from moframework.metrics import Accuracy
from moframework.overlay import draw_different, overlay
from moframework.problem import Problem
from moframework.tasks import Task

__all__ = ["MultiMNIST"]

_CONSTRUCTION = 1  # part of the cache's key: raise it whenever the same options give other tensors
_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@config
class MultiMNIST(Problem):
    """Tell the left (upper) and the right (lower) of two overlapping MNIST digits.

    **Source.** MNIST (Y. LeCun, C. Cortes, C. Burges; http://yann.lecun.com/exdb/mnist/): 70,000 digits of 28×28.
    **License.** Creative Commons Attribution-ShareAlike 3.0. **How to obtain.** The four IDX files are read from
    `root/MNIST/raw`, where torchvision puts them too, plain or gzip-compressed; what is missing is downloaded from
    torchvision's mirrors and verified.

    **Construction**, as the authors of PaMaL and PaLoRA have it: two different images of one MNIST part are put at
    (0, 0) and (6, 6) of a 36×36 canvas, where the brighter pixel wins, and the canvas is resized to 28×28 (bicubic, as
    Pillow does). 60,000 draws from MNIST's training images, of which 50,000 train and 10,000 validate; 10,000 draws
    from its test images. As with the authors, a source image may therefore occur in train and in val, but one of the
    test never elsewhere. Their draw is not public; another draw moves results by about as much as the methods differ:
    `seed` chooses the draw.

    **Tasks.** `left` and `right`: cross-entropy over 10 classes; accuracy.
    **Reference point** (1, 1), the one of PaLoRA's code: guessing costs ln 10 = 2.3 nats, so only models that are of
    use on both digits add volume. (COSMOS and PHN-HVI use (2, 2).)

    The tensors (220 MB) are made once, in seconds, and cached: see `moframework.datafiles`.
    """

    root: Path | None = option(
        None, help="folder that has MNIST/raw; none: MOFRAMEWORK_DATA, else a folder in the user's cache"
    )
    download: bool = option(True, help="download what is missing")
    seed: int = option(0, ge=0, lt=2**32, help="of the draw of pairs, and of which of them validate")

    @property
    def tasks(self) -> tuple[Task, ...]:
        """`left` and `right`."""
        return tuple(Task(name=name, loss=CrossEntropy(), metrics=(Accuracy(),), size=10) for name in ("left", "right"))

    @property
    def network(self) -> Backbone:
        """LeNet: 27,450 parameters."""
        return LeNet()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(1, 28, 28)."""
        return (1, 28, 28)

    @property
    def reference(self) -> tuple[float, ...]:
        """(1, 1)."""
        return (1.0, 1.0)

    def data(self, split: Split) -> TensorData:
        """Images (n, 1, 28, 28), float32, and targets `left` and `right` (n,), int64 in [0, 10).

        Black is 0 and white 1; the bicubic resize overshoots a little at edges, by up to about 0.2.
        """
        check_split(split)
        files = self._files()
        key = {"construction": _CONSTRUCTION, "seed": self.seed, "files": fingerprint(files)}
        tensors = cached_tensors("multimnist", key, lambda: _construct(files, self.seed), only=f"{split}/")
        return TensorData(
            tensors[f"{split}/inputs"], {"left": tensors[f"{split}/left"], "right": tensors[f"{split}/right"]}
        )

    def _files(self) -> list[Path]:
        """The four files, in the order of `_FILES`, after downloading those that are missing."""
        folder = data_folder(self.root) / "MNIST" / "raw"
        missing = [name for name in _FILES if _existing(folder, name) is None]
        if missing:
            self._obtain(folder, missing)
        return [_existing(folder, name) or folder / name for name in _FILES]

    def _obtain(self, folder: Path, missing: list[str]) -> None:
        from torchvision.datasets import MNIST  # where the mirrors and checksums are kept up to date; slow to import

        checksums = {packed.removesuffix(".gz"): md5 for packed, md5 in MNIST.resources}
        advice = (
            f"multimnist needs {', '.join(missing)} of MNIST in {folder}. Get {', '.join(m + '.gz' for m in missing)} "
            f"from {MNIST.mirrors[0]} into that folder, or name another with the option `root` or the environment "
            "variable MOFRAMEWORK_DATA: the one that has MNIST/raw."
        )
        if not self.download:
            raise DataError(f"{advice} Downloading is switched off (download: false).")
        try:
            for name in missing:
                urls = [f"{mirror}{name}.gz" for mirror in MNIST.mirrors]
                download(urls, folder / name, md5=checksums[name], unpack=True)
        except DataError as error:
            raise DataError(f"{advice} Downloading was tried: {error}") from error


def _existing(folder: Path, name: str) -> Path | None:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None


def _construct(files: list[Path], seed: int) -> dict[str, Tensor]:
    """All three splits, as "split/key" to tensor."""
    arrays = [torch.from_numpy(read_idx(path)) for path in files]
    for path, array, dimensions in zip(files, arrays, (3, 1, 3, 1), strict=True):
        if array.dim() != dimensions or (dimensions == 3 and array.shape[1:] != (28, 28)):
            raise DataError(f"{path} is not MNIST: it has shape {tuple(array.shape)}; delete it and get it again")
    made: dict[str, Tensor] = {}
    for part, (images, labels) in enumerate([(arrays[0], arrays[1].long()), (arrays[2], arrays[3].long())]):
        # As many draws as there are images: 60,000 and 10,000.
        pairs = torch.from_numpy(draw_different(len(images), len(images), 2, np.random.RandomState([seed, part])))
        mixed = overlay(images.float() / 255, pairs, offsets=((0, 0), (6, 6)), canvas=(36, 36), size=(28, 28))
        # The draws are in random order already: a sixth of those for training validates.
        held_out = len(pairs) // 6
        ranges = {"train": slice(held_out, None), "val": slice(held_out)} if part == 0 else {"test": slice(None)}
        for split, rows in ranges.items():
            made[f"{split}/inputs"] = mixed[rows]
            made[f"{split}/left"] = labels[pairs[rows, 0]]
            made[f"{split}/right"] = labels[pairs[rows, 1]]
    return made
