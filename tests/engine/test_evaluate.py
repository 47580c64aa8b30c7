"""Evaluation: exact over batches, every batch read once, the model left as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from moframework import TensorData
from moframework.data import Batch
from moframework.engine import evaluate as module
from moframework.engine.evaluate import EVALUATION_ACCELERATIONS, AcceleratedForward, Evaluator, one_by_one
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
    front = Evaluator(problem=problem, place=CPU, batch_size=batch_size).front(model, data, PREFERENCES, "test")
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

    evaluator = Evaluator(problem=problem, place=CPU, batch_size=8)
    front = evaluator.front(model, Counting(), PREFERENCES, "test")
    assert sorted(reads) == list(range(50))
    whole = evaluator.front(model, data, PREFERENCES, "test")
    np.testing.assert_allclose(front.losses, whole.losses, rtol=1e-6)


def test_the_mode_of_the_model_is_restored() -> None:
    problem, model, data = prepared()
    model.train()
    Evaluator(problem=problem, place=CPU, batch_size=8).front(model, data, PREFERENCES, "test")
    assert model.training
    assert not any(p.requires_grad and p.grad is not None for p in model.parameters())


def test_no_samples_is_an_error() -> None:
    problem, model, _ = prepared()
    empty = TensorData(torch.zeros(0, 1), {"sine": torch.zeros(0, 1), "cosine": torch.zeros(0, 1)})
    with pytest.raises(ValueError, match="no samples"):
        Evaluator(problem=problem, place=CPU, batch_size=8).front(model, empty, PREFERENCES, "test")


@pytest.mark.parametrize("acceleration", EVALUATION_ACCELERATIONS)
@torch.no_grad()
def test_accelerations_give_what_the_plain_forward_gives(acceleration: type[AcceleratedForward]) -> None:
    _, model, data = prepared()
    model.eval()
    thetas = [model.weights(preference) for preference in PREFERENCES]
    fast = acceleration.when(model, thetas, CPU, data.inputs, None)
    assert not isinstance(fast, str)
    plain = one_by_one(model, thetas, CPU, data.inputs)
    for one, other in zip(fast(data.inputs), plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_asked_not_to_be_accelerated_an_evaluation_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, model, data = prepared()
    asked: list[bool] = []

    class Acceleration:
        @classmethod
        def when(cls, *arguments: object) -> str:
            asked.append(arguments[-1] is not None)
            return "it never does"

    monkeypatch.setattr(module, "EVALUATION_ACCELERATIONS", (Acceleration,))
    for accelerated in (False, None, True):
        evaluator = Evaluator(problem=problem, place=CPU, batch_size=8, accelerated=accelerated)
        assert evaluator.front(model, data, PREFERENCES, "test").losses.shape == (2, 2)
    assert asked == [True, False], "once an evaluation, with the plain forward to beat unless it is asked for"
