"""Whoever uses a model is told where its run was evaluated with other statistics of BatchNorm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from moframework import Run, get_problem, solve
from moframework.run.predicting import predict
from tests.run.test_batchnorm_gap import BACKBONE


@pytest.mark.parametrize("batchnorm", ["recalibrate", "shared"])
def test_other_statistics_are_told(tmp_path: Path, batchnorm: str) -> None:
    problem = {"name": "digits", "train": 64, "val": 16, "test": 16, "backbone": BACKBONE}
    spec = {
        "problem": problem,
        "solver": {"name": "palora", "rank": 1},
        "training": {"steps": 2, "batch_size": 32},
        "evaluate": {"every": 0, "points": 2, "batchnorm": batchnorm},
    }
    run = solve(spec, tmp_path / "run")
    images = get_problem("digits", train=64, val=16, test=16).data("test").inputs[:3]
    found = Run(run.path).predict(images, [0.5, 0.5])
    np.savez(tmp_path / "images.npz", inputs=torch.as_tensor(images).numpy())
    told: list[str] = []
    list(predict(run.path, tmp_path / "images.npz", [0.5, 0.5], note=told.append))
    assert list(found.notes) == told
    assert ["taken anew for each preference" in text for text in told] == [True] * (batchnorm == "recalibrate")
