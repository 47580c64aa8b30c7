"""The folders of `.npy` files in which MTAN and what follows it keep CityScapes and NYUv2: reading and writing them.

`{train,val}/{image,label,depth,normal}/{i}.npy` for i = 0, 1, …: images (h, w, 3) in [0, 1], labels (h, w), −1 for
unknown; depth (h, w, 1), 0 for unknown; normals (h, w, 3), zeros for unknown. CityScapes keeps labels of 7 classes
under `label_7` and has no normals.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from attrs import frozen
from torch import Tensor

from moframework.data import Batch, Dataset, Split, TensorData, check_split
from moframework.data.npz import read_npy
from moframework.errors import DataError

__all__ = ["Layout", "write_layout"]

Part = Literal["train", "val"]
_SOURCE = "https://github.com/lorenmt/mtan"
_IMAGES = "image"
_CHANNELS = {"segmentation": 0, "depth": 1, "normal": 3}  # 0: none in the file


@frozen
class Layout:
    """One such data set: where it is, and which folder holds which target.

    Attributes:
        name: of the data set, for messages.
        root: the folder with `train` and `val`.
        what: how people call it, for messages.
        size: height and width of all images.
        folders: target key (`segmentation`, `depth`, `normal`) to the name of its folder.
    """

    name: str
    root: Path
    what: str
    size: tuple[int, int]
    folders: Mapping[str, str]

    def data(self, split: Split, *, validation: int, seed: int, memory: float) -> Dataset:
        """A split: `val` is tested on, and part of `train` held out for validation.

        Args:
            validation: images of `train` held out.
            seed: of the choice of them.
            memory: gigabytes up to which a split is held in memory; a larger one is read file by file.

        Raises:
            DataError: files are missing, or not of this layout.
        """
        part: Part = "val" if check_split(split) == "test" else "train"
        count = self.count(part)
        indices = np.arange(count)
        if split != "test":
            if not 0 < validation < count:
                raise DataError(
                    f"{self.name} has {count} images in {self.root / part}, of which {validation} cannot be held out "
                    "for validation: choose `validation` between 1 and one less than there are images"
                )
            shuffled = np.random.RandomState(seed).permutation(count)
            indices = np.sort(shuffled[:validation] if split == "val" else shuffled[validation:])
        files = NpyFiles(self, part, indices)
        if len(files) * files.item_bytes > memory * 1e9:
            return files
        inputs = torch.empty(len(files), 3, *self.size)
        targets: dict[str, Tensor] = {}
        for row in range(len(files)):
            inputs[row], own = files[row]
            for key, target in own.items():
                if key not in targets:
                    targets[key] = torch.empty(len(files), *target.shape, dtype=target.dtype)
                targets[key][row] = target
        return TensorData(inputs, targets)

    def count(self, part: Part) -> int:
        """Images of a part, after making sure that no file is missing.

        Raises:
            DataError: there are none, or a target has not as many.
        """
        counts: dict[str, int] = {}
        for folder in (_IMAGES, *self.folders.values()):
            path = self.root / part / folder
            found = {file.stem for file in path.glob("*.npy")}
            if not found:
                raise DataError(
                    f"{self.name} needs {path} with files 0.npy, 1.npy, … Get {self.what}, to which {_SOURCE} links, "
                    f"and put its train and val into {self.root}; or name another folder that has {self.name} with the "
                    "option `root` or the environment variable MOFRAMEWORK_DATA."
                )
            missing = next((i for i in range(len(found)) if str(i) not in found), None)
            if missing is not None:
                raise DataError(f"{path} has {len(found)} files, but not {missing}.npy: unpack the data set again")
            counts[folder] = len(found)
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{number} in {folder}" for folder, number in counts.items())
            raise DataError(f"{self.root / part} should have as many files in each folder, but has {told}")
        return counts[_IMAGES]


class NpyFiles(torch.utils.data.Dataset[Batch]):
    """Images and targets read file by file, when they are asked for.

    Args:
        layout: where they are.
        part: `train` or `val`.
        indices: numbers of the files, in the order wanted.
    """

    def __init__(self, layout: Layout, part: Part, indices: npt.NDArray[np.int64]) -> None:
        self.layout = layout
        self.folder = layout.root / part
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Batch:
        number = self.indices[index]
        image = torch.from_numpy(self._read(_IMAGES, number, 3))
        targets = {
            key: torch.from_numpy(self._read(folder, number, _CHANNELS[key]))
            for key, folder in self.layout.folders.items()
        }
        targets["segmentation"] = targets["segmentation"].long()
        return image, targets

    @property
    def item_bytes(self) -> int:
        """Memory of one image and its targets."""
        image, targets = self[0]
        return sum(tensor.numel() * tensor.element_size() for tensor in (image, *targets.values()))

    def _read(self, folder: str, number: int, channels: int) -> npt.NDArray[np.float32]:
        """One file as float32, (channels, h, w), or (h, w) for 0 channels."""
        path = self.folder / folder / f"{number}.npy"
        try:
            array = read_npy(path)
        except DataError as error:
            raise DataError(f"{error}: unpack the data set again") from None
        height, width = self.layout.size
        expected = (height, width, channels) if channels else (height, width)
        if array.shape != expected:
            raise DataError(f"{path} should have shape {expected}, but has {array.shape}: is it {self.layout.name}?")
        plain: npt.NDArray[np.float32] = array.astype(np.float32, copy=False)
        return np.ascontiguousarray(np.moveaxis(plain, -1, 0)) if channels else plain


def write_layout(data: TensorData, folder: Path, folders: Mapping[str, str]) -> None:
    """Write samples in this layout, for example rendered ones to try a loader with.

    Args:
        data: images (n, 3, h, w) and targets `segmentation` (n, h, w), `depth` (n, 1, h, w), `normal` (n, 3, h, w).
        folder: `…/train` or `…/val`; made where it is missing, files in it are replaced.
        folders: target key to the name of its folder; only these targets are written.

    Example::

        from moframework.problems.scenes import Scenes
        scenes = Scenes(size=(128, 256), train=8, test=4)
        for split, part in (("train", "train"), ("test", "val")):
            write_layout(scenes.data(split), Path("cityscapes") / part, {"segmentation": "label_7", "depth": "depth"})
    """
    arrays: dict[str, npt.NDArray[Any]] = {_IMAGES: data.inputs.movedim(1, -1).numpy()}
    for key, name in folders.items():
        target = data.targets[key]
        arrays[name] = (target.float() if key == "segmentation" else target.movedim(1, -1)).numpy()
    for name, array in arrays.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, item in enumerate(array):
            np.save(folder / name / f"{number}.npy", item)
