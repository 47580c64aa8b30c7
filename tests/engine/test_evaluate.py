"""Evaluation: exact over batches, every batch read once, the model left as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from moframework import TensorData
from moframework.data import Batch
from moframework.engine import evaluate as module
from moframework.engine.evaluate import evaluate
from tests.engine.conftest import CPU, Conflict, method, model_for

PREFERENCES = torch.tensor([[1.0, 0.0], [0.25, 0.75]])


def prepared() -> tuple:
    problem = Conflict(size=50)
    model = model_for(problem, method())
    with torch.no_grad():
        for b in model.space.b:
            b.normal_(generator=torch.Generator().manual_seed(0))
    return problem, model, problem.data("test")


@pytest.mark.parametrize("batch_size", [7, 50, 1000])
@pytest.mark.parametrize("kept", [0, 2**20])
def test_losses_and_metrics_are_those_of_the_whole_data(
    monkeypatch: pytest.MonkeyPatch, batch_size: int, kept: int
) -> None:
    monkeypatch.setattr(module, "_KEPT_WEIGHTS_BYTES", kept)
    problem, model, data = prepared()
    front = evaluate(model, problem, data, PREFERENCES, split="test", batch_size=batch_size, place=CPU)
    for j, preference in enumerate(PREFERENCES):
        y = model(data.inputs, preference)["y"].detach()
        for t, name in enumerate(("sine", "cosine")):
            error = (y - data.targets[name]).double()
            np.testing.assert_allclose(front.losses[j, t], float(error.square().mean()), rtol=1e-5)
            np.testing.assert_allclose(front.metrics[f"{name}/mae"][j], float(error.abs().mean()), rtol=1e-5)
    assert front.reference == (2.0, 2.0)
    assert front.higher_is_better == {"sine/mae": False, "cosine/mae": False}


def test_every_sample_is_read_once_for_all_preferences() -> None:
    problem, model, data = prepared()
    reads: list[int] = []

    class Counting(torch.utils.data.Dataset[Batch]):
        def __len__(self) -> int:
            return len(data)

        def __getitem__(self, index: int) -> Batch:
            reads.append(index)
            return data[index]

    front = evaluate(model, problem, Counting(), PREFERENCES, split="test", batch_size=8, place=CPU)
    assert sorted(reads) == list(range(50))
    whole = evaluate(model, problem, data, PREFERENCES, split="test", batch_size=8, place=CPU)
    np.testing.assert_allclose(front.losses, whole.losses, rtol=1e-6)


def test_the_mode_of_the_model_is_restored() -> None:
    problem, model, data = prepared()
    model.train()
    evaluate(model, problem, data, PREFERENCES, split="test", batch_size=8, place=CPU)
    assert model.training
    assert not any(p.requires_grad and p.grad is not None for p in model.parameters())


def test_no_samples_is_an_error() -> None:
    problem, model, _ = prepared()
    empty = TensorData(torch.zeros(0, 1), {"sine": torch.zeros(0, 1), "cosine": torch.zeros(0, 1)})
    with pytest.raises(ValueError, match="no samples"):
        evaluate(model, problem, empty, PREFERENCES, split="test", batch_size=8, place=CPU)
