"""Inputs that are prepared already: tensors, arrays, and files of arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moframework.data.npz import read_npy, read_npz
from moframework.errors import DataError
from moframework.inputs import Entry, InputForm, Tree
from moframework.inputs.form import Node
from moframework.inputs.trees import count_samples, mapped, named_leaves, select_samples
from moframework.predicting.reader import Part, Reading

__all__ = ["array_parts", "is_prepared"]


def is_prepared(raw: Any, *, arrays: bool = False) -> bool:
    """Whether raw data is inputs as the network reads them: a tensor, an array, a tree of tensors, or a file of arrays.

    Args:
        arrays: trees of arrays are inputs too, rather than the columns of a table.
    """
    if isinstance(raw, str | Path):
        return Path(raw).suffix in (".npz", ".npy")
    leaves = named_leaves(raw).values()
    kinds = (Tensor, np.ndarray) if arrays or isinstance(raw, np.ndarray) else Tensor
    return bool(leaves) and all(isinstance(leaf, kinds) for leaf in leaves)


def array_parts(raw: Any, form: InputForm, reading: Reading) -> Iterator[Part]:
    """The samples of prepared inputs, in their order.

    Args:
        raw: inputs (n, ...) of the form; or a .npy file, or a .npz file with an array `inputs`, or one for each
            entry of the inputs, by its name. Other arrays can be kept.
        form: of the model's inputs. 8-bit unsigned integers are images, and become numbers in [0, 1].

    Raises:
        DataError: it cannot be read, is of another form, or is not finite.
    """
    what = str(raw) if isinstance(raw, str | Path) else "the inputs given"
    arrays: Mapping[str, Any] = {}
    if isinstance(raw, str | Path):
        path = Path(raw)
        arrays = {"inputs": read_npy(path)} if path.suffix == ".npy" else read_npz(path)
        found = _of_arrays(arrays, form, what)
    else:
        found = mapped(lambda leaf: leaf.detach().cpu() if isinstance(leaf, Tensor) else _tensor(leaf, what), raw)
    inputs = _as_read(found, form)
    _check(inputs, form, what)
    count = count_samples(inputs)
    kept = {name: _kept(arrays, name, count, what) for name in reading.keep}
    for start in range(0, count, reading.count):
        chosen = slice(start, start + reading.count)
        yield Part(select_samples(inputs, chosen), {name: cells[chosen] for name, cells in kept.items()})


def _of_arrays(arrays: Mapping[str, Any], form: InputForm, what: str) -> Tree:
    """The inputs among the arrays of a file."""
    names = {path: path or "inputs" for path in form.entries}
    lacking = [name for name in names.values() if name not in arrays]
    if lacking:
        raise DataError(f"{what} has no array `{lacking[0]}`, but {', '.join(arrays) or 'nothing'}; {_wanted(form)}")
    if isinstance(form.tree, Entry):
        return _tensor(arrays["inputs"], what)
    return _tree(form.tree, {path: _tensor(arrays[name], what) for path, name in names.items()})


def _tensor(array: Any, what: str) -> Tensor:
    if array.dtype.kind not in "fiub":
        raise DataError(f"{what}: arrays of type {array.dtype} are no inputs; numbers are needed")
    if array.dtype.kind == "u" and array.dtype != np.uint8:
        array = array.astype(np.int64)
    return torch.from_numpy(np.ascontiguousarray(array))


def _as_read(inputs: Tree, form: InputForm) -> Tree:
    """Inputs in the types that the network reads. Images of 8 bits are fractions of 255, as in training."""
    types = {path: entry.dtype for path, entry in form.entries.items()}
    leaves = named_leaves(inputs)
    if leaves.keys() != types.keys():
        return inputs  # of another form, which is told
    made = {}
    for path, leaf in leaves.items():
        images = leaf.dtype == torch.uint8 and types[path].is_floating_point
        made[path] = leaf.to(types[path]) / 255 if images else leaf.to(types[path])
    return made[""] if isinstance(form.tree, Entry) else _tree(form.tree, made)


def _tree(tree: Node | Entry, leaves: Mapping[str, Tensor], path: str = "") -> Tree:
    """Tensors by path as inputs of a form."""
    if isinstance(tree, Entry):
        return leaves[path]
    parts = {key: _tree(part, leaves, f"{path}.{key}" if path else key) for key, part in tree.parts.items()}
    return tuple(parts.values()) if tree.kind == "tuple" else parts


def _check(inputs: Tree, form: InputForm, what: str) -> None:
    """Raise `DataError` where inputs are not of the form, of no or different numbers of samples, or not finite."""
    fault = form.fault(inputs)
    if fault is not None:
        raise DataError(f"{what}: {fault}; {_wanted(form)}")
    leaves = named_leaves(inputs)
    for path, leaf in leaves.items():
        called = f"the input '{path}'" if path else "the input"
        sizes = form.entries[path].shape
        if any(size not in (None, found) for size, found in zip(sizes, leaf.shape[1:], strict=True)):
            raise DataError(f"{what}: {called} has the shape {tuple(leaf.shape)}; {_wanted(form)}")
        if leaf.is_floating_point() and not bool(torch.isfinite(leaf).all()):
            raise DataError(f"{what}: {called} is not finite")
    counts = {len(leaf) for leaf in leaves.values()}
    if len(counts) > 1 or counts == {0}:
        raise DataError(f"{what}: {'there are no samples' if counts == {0} else 'inputs differ in length'}")


def _wanted(form: InputForm) -> str:
    return f"the model reads {form.describe()}, after a first dimension of samples"


def _kept(arrays: Mapping[str, Any], name: str, count: int, what: str) -> Any:
    if name not in arrays or arrays[name].shape[:1] != (count,) or arrays[name].ndim != 1:
        have = ", ".join(key for key, array in arrays.items() if array.shape == (count,)) or "none"
        raise DataError(f"{what} has no array `{name}` with a number for each sample to keep; such arrays: {have}")
    return arrays[name].tolist()
