"""The splits of a run's data: written down when training starts, compared when it goes on or its model is evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from pathlib import Path
from typing import Any, cast

from moframework.data import Dataset, Split
from moframework.data.fingerprint import contents
from moframework.errors import DataError
from moframework.io.sealed import read_json, write_json
from moframework.run.labels import Labels

__all__ = ["compare_splits", "describe_splits", "write_splits"]

_FORMAT = 2

Splits = dict[str, dict[str, Any]]


def describe_splits(data: Mapping[Split, Dataset], labels: Mapping[Split, Labels] | None = None) -> Splits:
    """Number of samples and hash of contents of each split, and its labels by task where they were counted, as plain
    data. See `moframework.data.fingerprint`."""
    found: Splits = {
        split: {"samples": len(cast(Sized, part)), "contents": contents(part)} for split, part in data.items()
    }
    for split, counted in (labels or {}).items():
        found[split]["labels"] = counted.plain()
    return found


def write_splits(path: Path, splits: Splits) -> None:
    """Write `splits` to `path`, as JSON with a checksum."""
    write_json(path, {"format": _FORMAT, **splits})


def compare_splits(
    path: Path, splits: Splits, advice: str = "Bring the former data back, or start a new run with another --out."
) -> None:
    """Hold `splits` against those that a run began with, if they were written to `path`.

    Args:
        path: the `data.json` of the run.
        splits: as `describe_splits` has them; some of them will do.
        advice: what to do where they differ.

    Raises:
        DataError: they differ; the text says which and how, and what to do.
        DamagedFileError: the file cannot be read.
        NewerFormatError: a newer version wrote it.
    """
    if not path.is_file():
        return
    before: Splits = read_json(
        path,
        advice=f"It says which data {path.parent} was started with. Bring it back from a copy; or delete it, where you "
        "are sure that the data is still the same, and resume.",
        newest=_FORMAT,
    )
    changed = [
        f"{split} was {_said(before[split])} and is {_said(splits[split])}"
        for split in splits
        if split in before and _said(before[split]) != _said(splits[split])
    ]
    if changed:
        raise DataError(f"the data is not what {path.parent} was started with: {'; '.join(changed)}. {advice}")


def _said(split: Mapping[str, Any]) -> str:
    return f"{split['samples']:,} samples ({split['contents']})"
