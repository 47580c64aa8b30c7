"""`sarcos`: on small files in the published layout, and on real rows where MOFRAMEWORK_DATA has them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from moframework.problems.sarcos import SARCOS
from scipy.io import savemat

from moframework.data import SPLITS
from moframework.errors import DataError
from moframework.problem import get_problem


def rows(count: int, seed: int) -> np.ndarray:
    """States, and torques of which the third is mostly negative."""
    made = np.random.default_rng(seed).normal(1, 2, (count, 28))
    made[:, 23] -= 5
    return made


LEARNED, ASKED = rows(200, 0), rows(30, 1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "sarcos").mkdir()
    savemat(tmp_path / "sarcos" / "sarcos_inv.mat", {"sarcos_inv": LEARNED})
    savemat(tmp_path / "sarcos" / "sarcos_inv_test.mat", {"sarcos_inv_test": ASKED})
    return tmp_path


def test_facts() -> None:
    problem = get_problem("sarcos")
    assert problem == SARCOS()
    assert [task.name for task in problem.tasks] == [f"torque{joint}" for joint in range(1, 8)]
    assert problem.reference == (1, 5, 1, 1, 10, 10, 1)
    assert SARCOS(scale="absolute_quantile").reference == (1,) * 7
    assert problem.input_shape == (21,)
    assert sum(p.numel() for p in problem.backbone().parameters()) == 139_015


def test_the_first_tenth_validates(root: Path) -> None:
    problem = SARCOS(root=root)
    for split, expected in zip(SPLITS, (LEARNED[20:], LEARNED[:20], ASKED), strict=True):
        data = problem.data(split)
        np.testing.assert_array_equal(data.inputs.numpy(), expected[:, :21].astype(np.float32))
        for target in data.targets.values():
            assert (target.shape, target.dtype) == ((len(expected),), torch.float32)
    problem.check()


def test_as_many_rows_as_published_validate(root: Path) -> None:
    savemat(root / "sarcos" / "sarcos_inv.mat", {"sarcos_inv": np.resize(LEARNED, (44_484, 28))})
    problem = SARCOS(root=root)
    assert [len(problem.data(split)) for split in SPLITS] == [40_036, 4_448, 30]


@pytest.mark.parametrize("scale", ["quantile", "absolute_quantile"])
def test_torques_are_divided_by_a_quantile_of_the_training_rows(root: Path, scale: str) -> None:
    data = SARCOS(root=root, scale=scale).data("test")  # type: ignore[arg-type]
    for joint in range(7):
        learned = np.sort(LEARNED[20:, 21 + joint] if scale == "quantile" else np.abs(LEARNED[20:, 21 + joint]))
        # the 0.9 quantile of 180 values lies at position 0.9 · 179 = 161.1
        quantile = abs(0.9 * learned[161] + 0.1 * learned[162])
        expected = ASKED[:, 21 + joint] / quantile
        np.testing.assert_allclose(data.targets[f"torque{joint + 1}"].numpy(), expected, rtol=1e-5)


def test_inputs_may_be_standardized(root: Path) -> None:
    problem = SARCOS(root=root, standardize=True)
    train = problem.data("train").inputs
    assert train.mean(dim=0).abs().max() < 1e-5
    torch.testing.assert_close(train.std(dim=0, unbiased=False), torch.ones(21))
    mean, deviation = LEARNED[20:, :21].mean(axis=0), LEARNED[20:, :21].std(axis=0)
    np.testing.assert_allclose(problem.data("test").inputs.numpy(), (ASKED[:, :21] - mean) / deviation, atol=1e-5)


def test_missing_and_wrong_files(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no sarcos_inv\.mat\. Get them from http://gaussianprocess"):
        SARCOS(root=tmp_path / "empty").data("train")
    test = root / "sarcos" / "sarcos_inv_test.mat"
    savemat(test, {"sarcos_inv_test": ASKED[:, :21]})
    with pytest.raises(DataError, match=r"it should hold `sarcos_inv_test` of \(n, 28\)"):
        SARCOS(root=root).data("train")
    savemat(test, {"other": ASKED})
    with pytest.raises(DataError, match="is not SARCOS"):
        SARCOS(root=root).data("train")
    test.write_bytes(b"<html>not found</html>" * 20)
    with pytest.raises(DataError, match="is damaged, or no MATLAB file"):
        SARCOS(root=root).data("train")
    savemat(test, {"sarcos_inv_test": ASKED})
    still = LEARNED.copy()
    still[:, 25] = 0
    savemat(root / "sarcos" / "sarcos_inv.mat", {"sarcos_inv": still})
    with pytest.raises(DataError, match=r"the 0\.9 quantile of torque5 is 0"):
        SARCOS(root=root).data("train")


@pytest.mark.parametrize("size", [0, 10, 200])
def test_damaged_files(root: Path, size: int) -> None:
    path = root / "sarcos" / "sarcos_inv.mat"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match="delete it and get it again"):
        SARCOS(root=root).data("train")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_must_be_finite(root: Path, value: float) -> None:
    broken = LEARNED.copy()
    broken[3, 3] = value
    savemat(root / "sarcos" / "sarcos_inv.mat", {"sarcos_inv": broken})
    with pytest.raises(DataError, match="not finite"):
        SARCOS(root=root).data("train")


real = pytest.mark.skipif(
    "MOFRAMEWORK_DATA" not in os.environ, reason="set MOFRAMEWORK_DATA to a folder with sarcos/ to run on real data"
)


@pytest.mark.real_data
@real
def test_real_data() -> None:
    """Facts that hold for the published files and for a part of their rows alike."""
    problem = SARCOS(scale="absolute_quantile")
    train = problem.data("train")
    assert len(problem.data("val")) == round(len(train) / 9)
    for target in train.targets.values():
        assert 0.05 < float(target.var()) < 0.5
        assert float((target.abs() <= 1).float().mean()) == pytest.approx(0.9, abs=0.005)  # values are tied
    problem.check(train)
