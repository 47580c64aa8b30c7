"""Splits written down and compared."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from moframework.data import Dataset, Split, TensorData
from moframework.data.fingerprint import contents
from moframework.errors import DataError
from moframework.io.sealed import read_json
from moframework.run.splits import compare_splits, describe_splits, write_splits


def data(n: int = 3, value: float = 0.0) -> dict[Split, Dataset]:
    made = {"train": (n, value), "val": (2, 1.0), "test": (1, 2.0)}
    return {
        split: TensorData(torch.full((count, 2), fill), {"y": torch.arange(count)})  # type: ignore[misc]
        for split, (count, fill) in made.items()
    }


def test_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    splits = describe_splits(data())
    write_splits(path, splits)
    assert read_json(path, advice="") == {"format": 2, **splits}
    assert {split: part["samples"] for split, part in splits.items()} == {"train": 3, "val": 2, "test": 1}
    assert splits["train"]["contents"] == contents(data()["train"])
    compare_splits(path, describe_splits(data()))


def test_what_has_changed_is_told(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    write_splits(path, describe_splits(data()))
    for changed in (data(n=4), data(value=0.5)):
        with pytest.raises(DataError) as error:
            compare_splits(path, describe_splits(changed))
        text = str(error.value)
        assert text.startswith(f"the data is not what {tmp_path} was started with: train was 3 samples (")
        assert "val" not in text
        assert "Bring the former data back, or start a new run" in text


def test_a_run_from_before_there_was_such_a_file_goes_on(tmp_path: Path) -> None:
    compare_splits(tmp_path / "data.json", describe_splits(data()))
