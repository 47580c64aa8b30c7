"""Names of splits, and rows divided among them."""

from __future__ import annotations

import numpy as np
import pytest

from moframework.data import (
    SPLITS,
    check_split,
    random_split,
)


def test_splits() -> None:
    assert [check_split(name) for name in SPLITS] == ["train", "val", "test"]
    with pytest.raises(ValueError, match=r"no split 'tests'; did you mean 'test'\? allowed: train, val, test"):
        check_split("tests")


def test_a_random_split_has_the_shares_asked_for_and_depends_on_the_seed() -> None:
    parts = random_split(100, (0.5, 0.2, 0.3), 0)
    assert np.bincount(parts).tolist() == [50, 20, 30]
    assert np.array_equal(parts, random_split(100, (0.5, 0.2, 0.3), 0))
    assert not np.array_equal(parts, random_split(100, (0.5, 0.2, 0.3), 1))
