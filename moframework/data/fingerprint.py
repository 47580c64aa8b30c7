"""What a data set holds, as a short hash: so that a run can tell that its data is still the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sized
from typing import cast

import torch
from torch import Tensor

from moframework.data.collate import collate_of
from moframework.data.dataset import Dataset, TensorData
from moframework.data.loader import loaded_items
from moframework.inputs.trees import Tree, named_leaves

__all__ = ["contents"]

# Larger tensors are hashed by samples evenly spread: 256 MiB take about a quarter of a second.
_HASHED_BYTES = 256 * 2**20
# Items of a data set that loads piece by piece, which may be slow, that are looked at.
_HASHED_ITEMS = 32


def contents(data: Dataset) -> str:
    """A hash of the samples of `data`, in their order: 16 hexadecimal digits, or the data's own `known_contents` where
    it has that attribute, a text that changes whenever a sample does.

    Tensors in memory are hashed whole up to 256 MiB; of larger ones, and of data sets that load piece by piece, samples
    evenly spread from the first to the last. Items that are random are drawn under a fixed seed.

    >>> contents(TensorData(torch.zeros(2, 1), {"y": torch.tensor([0, 1])}))
    'c8130611f5ce368b'
    """
    known = getattr(data, "known_contents", None)
    if known is not None:
        return str(known)
    digest = hashlib.blake2b(digest_size=8)
    count = len(cast(Sized, data))
    digest.update(f"{count}:".encode())
    if isinstance(data, TensorData):
        kept = count if data.nbytes <= _HASHED_BYTES else max(1, count * _HASHED_BYTES // data.nbytes)
        few = data if kept == count else data.take(_spread(count, kept))
        _add(digest, few.inputs, few.targets)
    elif count:
        chosen = _spread(count, min(count, _HASHED_ITEMS)).tolist()
        # Items that a function makes batches of may have any size and kind: they are looked at one by one.
        for rows in [chosen] if collate_of(data) is None else [[row] for row in chosen]:
            _add(digest, *loaded_items(data, rows))
    return digest.hexdigest()


def _add(digest: hashlib.blake2b, x: Tree, targets: Mapping[str, Tensor]) -> None:
    leaves = [("" if not path else f"input.{path}", leaf) for path, leaf in named_leaves(x).items()]
    for key, tensor in (*leaves, *sorted(targets.items())):
        digest.update(f"{key}:{tensor.dtype}:{tuple(tensor.shape)}:".encode())
        digest.update(_bytes(tensor))


def _spread(count: int, kept: int) -> Tensor:
    """`kept` indices in [0, count), from the first to the last."""
    return torch.linspace(0, count - 1, kept, dtype=torch.float64).round().long()


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
