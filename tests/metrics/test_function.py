"""A metric as one annotated function."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from moframework.config import build
from moframework.errors import MoframeworkError, SpecError
from moframework.metrics import Metric
from tests.metrics.meters import value

FILE = """
from torch import Tensor

def beyond(output: Tensor, target: Tensor, *, bound: float = 1.0) -> Tensor:
    return ((output.squeeze(1) - target).abs() > bound).float()

def spread(output: Tensor, target: Tensor) -> Tensor:
    return output.std() / target.std()

def halved(output: Tensor, target: Tensor) -> Tensor:
    return output[::2]

def alone(output: Tensor) -> Tensor:
    return output
"""


@pytest.fixture
def made(tmp_path: Path):  # type: ignore[no-untyped-def]
    (tmp_path / "mine.py").write_text(FILE)

    def make(name: str, **options: object) -> Metric:
        return build(Metric, {"python": f"./mine.py:{name}", **options}, tmp_path, trust=True)  # type: ignore[type-abstract]

    return make


def data() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    target = torch.randn(30)
    target[:10] = float("nan")
    return 2 * torch.randn(30, 1), target


def test_values_of_samples_are_averaged(made) -> None:  # type: ignore[no-untyped-def]
    metric, (output, target) = made("beyond", higher_is_better=False, bound=0.5), data()
    expected = ((output[10:, 0] - target[10:]).abs() > 0.5).float().mean()
    assert value(metric, output, target, 1) == pytest.approx(float(expected))
    assert (metric.label, metric.higher_is_better, metric.worst) == ("beyond", False, None)


def test_one_number_is_asked_of_all_samples_at_once(made) -> None:  # type: ignore[no-untyped-def]
    metric, (output, target) = made("spread", higher_is_better=True), data()
    assert value(metric, output, target, 1) == pytest.approx(float(output[10:].std() / target[10:].std()))
    assert math.isnan(value(metric, output, torch.full_like(target, float("nan")), 1))


def test_what_is_missing_or_wrong_is_told(made) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SpecError, match=r"higher_is_better: is missing.*whether more is better"):
        made("spread")
    with pytest.raises((SpecError, MoframeworkError), match="takes output and target first, but alone does not"):
        made("alone", higher_is_better=True)
    with pytest.raises(ValueError, match="halved must return one number, or one value a sample"):
        value(made("halved", higher_is_better=True), *data(), 1)
