"""Losses and metrics are those of all samples at once, whatever is kept in between."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from moframework.engine import accumulator as module
from moframework.engine.accumulator import Accumulator
from moframework.losses import MSE, CrossEntropy
from moframework.metrics import MAE, Accuracy
from moframework.problem.task import Task
from moframework.processes.world import World
from tests.engine.conftest import CPU

TASKS = (
    Task(name="kind", loss=CrossEntropy(), metrics=(Accuracy(),), size=3),
    Task(name="size", loss=MSE(), metrics=(MAE(),), output="size"),
)


@pytest.mark.parametrize("kept", [0, 200, 2**20])
def test_batches_add_up(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT_BYTES", kept)
    generator = torch.Generator().manual_seed(0)
    kinds, sizes = torch.randint(3, (20,), generator=generator), torch.randn(20, 1, generator=generator)
    outputs = [{"kind": torch.randn(20, 3), "size": torch.randn(20, 1), "other": torch.randn(20)} for _ in range(2)]
    accumulator = Accumulator(TASKS, 2, CPU)
    for start in range(0, 20, 6):
        part = slice(start, start + 6)
        accumulator.begin({"kind": kinds[part], "size": sizes[part]})
        for j, each in enumerate(outputs):
            accumulator.add(j, {key: value[part] for key, value in each.items()})
    losses, metrics = accumulator.losses(World()), accumulator.metrics(World())
    for j, each in enumerate(outputs):
        expected = [torch.nn.functional.cross_entropy(each["kind"], kinds), (each["size"] - sizes).square().mean()]
        torch.testing.assert_close(losses[j].float(), torch.stack(expected))
        assert metrics["kind/accuracy"][j] == pytest.approx(float((each["kind"].argmax(1) == kinds).float().mean()))
        assert metrics["size/mae"][j] == pytest.approx(float((each["size"] - sizes).abs().mean()))


def test_without_metrics_and_without_samples() -> None:
    accumulator = Accumulator(TASKS, 1, CPU, metrics=False)
    with pytest.raises(ValueError, match="no samples"):
        accumulator.losses(World())
    accumulator.begin({"kind": torch.zeros(2, dtype=torch.long), "size": torch.zeros(2, 1)})
    accumulator.add(0, {"kind": torch.zeros(2, 3), "size": torch.ones(2, 1)})
    assert accumulator.metrics(World()) == {}
    np.testing.assert_allclose(accumulator.losses(World()).numpy(), [[np.log(3), 1.0]], rtol=1e-6)
