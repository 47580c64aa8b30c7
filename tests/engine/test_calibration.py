"""Statistics of BatchNorm in evaluation: shared, or taken anew for each preference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from moframework import ParetoModel
from moframework.backbones.base import Backbone
from moframework.config import config
from moframework.data import TensorData
from moframework.engine.evaluate import Evaluator, calibration_data
from moframework.engine.settings import Evaluation, Training
from moframework.weights.convex_hull import ConvexHull
from tests.engine.conftest import CPU, Conflict, Train, method, model_for

PREFERENCES = torch.tensor([[1.0, 0.0], [0.4, 0.6], [0.0, 1.0]])


@config
class NormNet(Backbone):
    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        return nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1))


@config
class Normalized(Conflict):
    @property
    def network(self) -> Backbone:
        return NormNet()


def made(problem: Conflict) -> ParetoModel:
    return model_for(problem, method(weights=ConvexHull()))


def losses(model: ParetoModel, problem: Conflict, **options: Any) -> torch.Tensor:
    evaluator = Evaluator(problem=problem, place=CPU, **{"batch_size": 64, **options})
    front = evaluator.front(model, problem.data("test"), PREFERENCES, "test")
    return torch.tensor(front.losses).float()


def test_shared_statistics_are_those_of_training() -> None:
    problem = Normalized()
    model = made(problem)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = losses(model, problem)
    model.skeleton[1].running_mean += 1
    assert not torch.allclose(losses(model, problem), first)
    model.load_state_dict(before)
    assert calibration_data(Evaluation(), problem.data("train")) is None


@pytest.mark.parametrize("batch_size", [16, 63, 64, 1000])  # 63 would leave a batch of one sample
def test_recalibrated_statistics_are_those_of_each_merged_network(batch_size: int) -> None:
    problem = Normalized()
    model = made(problem)
    calibration = calibration_data(Evaluation(batchnorm="recalibrate"), problem.data("train"))
    assert isinstance(calibration, TensorData)
    found = losses(model, problem, calibration=calibration, batch_size=batch_size)
    assert not torch.allclose(found, losses(model, problem))
    batches = [part for part in calibration.inputs.split(batch_size) if len(part) > 1]
    data = problem.data("test")
    for row, expected in zip(PREFERENCES, found, strict=True):
        outputs = model.at(row, calibrate=batches).eval()(data.inputs)
        torch.testing.assert_close((outputs - data.targets["sine"]).square().mean(), expected[0], rtol=1e-4, atol=1e-6)
    model.skeleton[1].running_mean += 1  # has no part in it
    torch.testing.assert_close(losses(model, problem, calibration=calibration, batch_size=batch_size), found)


def test_samples_for_calibration_are_spread_over_the_split() -> None:
    data = TensorData(torch.arange(10.0).unsqueeze(1), {})
    some = calibration_data(Evaluation(batchnorm="recalibrate", calibration_samples=4), data)
    assert isinstance(some, TensorData)
    assert some.inputs.flatten().tolist() == [0, 2, 5, 7]
    listed = calibration_data(
        Evaluation(batchnorm="recalibrate", calibration_samples=4), torch.utils.data.ConcatDataset([data])
    )
    assert listed is not None
    assert [float(listed[i][0]) for i in range(4)] == [0, 2, 5, 7]


def test_validation_recalibrates_too(train: Train) -> None:
    problem = Normalized()
    options: dict[str, Any] = {"training": Training(epochs=1, batch_size=16), "problem": problem}
    _, shared = train(method(weights=ConvexHull()), evaluation=Evaluation(), **options)
    _, anew = train(method(weights=ConvexHull()), evaluation=Evaluation(batchnorm="recalibrate"), **options)
    assert shared.best_hypervolume != anew.best_hypervolume
