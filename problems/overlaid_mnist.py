"""Images of MNIST and its like laid on top of one another: the construction, its files, and its cache."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, final

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from moframework.config import config, option
from moframework.data import Split, TensorData, check_split
from moframework.data.cache import cached_tensors, data_folder, fingerprint
from moframework.errors import DataError

from .mnist_files import ImageSet
from .overlaid import Overlaid, Place
from .overlay import Resampling, draw_different, overlay
from .saved_draw import find_draw, read_draw

__all__ = ["Layer", "OverlaidMNIST"]

_CONSTRUCTION = 1  # part of the cache's key: raise it whenever the same options give other tensors
_SIZE = (28, 28)


@frozen
class Layer:
    """One image on the canvas: the task that tells it, the set it is drawn from, and where it lies."""

    task: str
    source: ImageSet
    place: Place


@config
class OverlaidMNIST(Overlaid):
    """28×28 images drawn from MNIST or its like, laid on a larger canvas that is resized to 28×28.

    As many draws as the training part of a set has images, 60,000, of which 50,000 train and 10,000 validate; 10,000
    draws from the test part. As with the authors of PaMaL and PaLoRA, a source image may occur in train and in val, but
    one of the test part never elsewhere. Images of one set on one canvas are always different ones. `seed` chooses the
    draw; another moves results by about as much as the methods differ. Whoever has the authors' own files names their
    folder as `draw` (their code splits the training part anew for each seed of a run, so validation samples differ).

    A problem is the class data below. The tensors are made once, in seconds, and cached: see `moframework.data.cache`.
    """

    name: ClassVar[str]
    """As the problem is registered."""
    layers: ClassVar[tuple[Layer, ...]]
    canvas: ClassVar[tuple[int, int]]
    resampling: ClassVar[Resampling]

    root: Path | None = option(
        None, help="folder of the data sets; none: MOFRAMEWORK_DATA, else a folder in the user's cache"
    )
    download: bool = option(True, help="download what is missing")
    seed: int = option(0, ge=0, lt=2**32, help="of the draw of images, and of which draws validate")
    draw: Path | None = option(
        None,
        help="folder of a draw that the code of PaMaL and PaLoRA has saved, training.pt and test.pt, in place of one "
        "of ours; `seed` then chooses only which sixth of its training samples validates",
    )

    @final
    @property
    def places(self) -> dict[str, Place]:
        """By task, in the order of the layers."""
        return {layer.task: layer.place for layer in self.layers}

    @final
    @property
    def input_shape(self) -> tuple[int, ...]:
        """(1, 28, 28)."""
        return (1, *_SIZE)

    @final
    def data(self, split: Split) -> TensorData:
        """Images (n, 1, 28, 28), float32, and a target (n,) for each task, int64 in [0, 10).

        Black is 0 and white 1; a bicubic resize overshoots a little at edges, by up to about 0.2.
        """
        check_split(split)
        if self.draw is not None:
            return self._saved(split, find_draw(self.draw))
        folder = data_folder(self.root)
        files = {source: source.files(folder, self.download, self.name) for source in self._sources()}
        contents = fingerprint([path for paths in files.values() for path in paths])
        key = {"construction": _CONSTRUCTION, "seed": self.seed, "files": contents}
        tensors = cached_tensors(self.name, key, lambda: self._construct(files), only=f"{split}/")
        return TensorData(
            tensors[f"{split}/inputs"], {layer.task: tensors[f"{split}/{layer.task}"] for layer in self.layers}
        )

    def _saved(self, split: Split, files: list[Path]) -> TensorData:
        """A split of the draw in these files."""
        images, labels = read_draw(files[split == "test"], _SIZE, len(self.layers))
        if split != "test":
            order = torch.from_numpy(np.random.RandomState([self.seed, len(images)]).permutation(len(images)))
            held_out = len(order) // 6
            rows = (order[:held_out] if split == "val" else order[held_out:]).sort().values
            images, labels = images[rows], labels[rows]
        return TensorData(images, {layer.task: labels[:, column] for column, layer in enumerate(self.layers)})

    def _sources(self) -> list[ImageSet]:
        """The sets, each once, in the order of the layers."""
        return list(dict.fromkeys(layer.source for layer in self.layers))

    def _construct(self, files: dict[ImageSet, list[Path]]) -> dict[str, Tensor]:
        """All three splits, as "split/key" to tensor."""
        parts = {source: source.read(paths) for source, paths in files.items()}
        made: dict[str, Tensor] = {}
        for part in (0, 1):
            images = torch.cat([parts[source][part][0] for source in files]).float() / 255
            labels = torch.cat([parts[source][part][1] for source in files])
            counts = {source: len(parts[source][part][0]) for source in files}
            drawn = self._draw(counts, np.random.RandomState([self.seed, part]))
            places = [layer.place for layer in self.layers]
            mixed = overlay(images, drawn, places, self.canvas, _SIZE, resampling=self.resampling)
            # The draws are in random order already: a sixth of those for training validates.
            held_out = len(drawn) // 6
            ranges = {"train": slice(held_out, None), "val": slice(held_out)} if part == 0 else {"test": slice(None)}
            for split, rows in ranges.items():
                made[f"{split}/inputs"] = mixed[rows]
                for column, layer in enumerate(self.layers):
                    made[f"{split}/{layer.task}"] = labels[drawn[rows, column]]
        return made

    def _draw(self, counts: dict[ImageSet, int], generator: np.random.RandomState) -> Tensor:
        """Images of each canvas, (n, layers), as indices into all sets one after the other; n images in each set."""
        if len(set(counts.values())) > 1:
            found = ", ".join(f"{source.name} {count}" for source, count in counts.items())
            raise DataError(f"{self.name} needs sets of as many images each, but has {found}; get them again")
        drawn = np.empty((next(iter(counts.values())), len(self.layers)), dtype=np.int64)
        before = 0
        for source, count in counts.items():
            columns = [column for column, layer in enumerate(self.layers) if layer.source == source]
            drawn[:, columns] = before + draw_different(len(drawn), count, len(columns), generator)
            before += count
        return torch.from_numpy(drawn)
