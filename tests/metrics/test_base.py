"""What every metric claims: the same over batches and precisions, a reset, a name, no reading back from the device."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from moframework.config import build, entries
from moframework.metrics import (
    AUROC,
    F1,
    MAE,
    MSE,
    RMSE,
    Accuracy,
    AngleWithin,
    BalancedAccuracy,
    CalibrationError,
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    GroupGap,
    IoU,
    MeanAngle,
    MedianAngle,
    Metric,
    Precision,
    Recall,
    RelativeError,
)
from tests.metrics.meters import value

# Each with the width of an output, and the kind of its target.
METRICS = [
    (Accuracy(), 3, "class"),
    (F1(), 3, "class"),
    (Precision(), 3, "class"),
    (Recall(), 3, "class"),
    (BalancedAccuracy(), 3, "class"),
    (AUROC(), 3, "class"),
    (CalibrationError(), 3, "class"),
    (RMSE(), 1, "value"),
    (IoU(), 3, "class"),
    (MAE(), 1, "value"),
    (MSE(), 1, "value"),
    (RelativeError(), 1, "value"),
    (MeanAngle(), 3, "vector"),
    (MedianAngle(), 3, "vector"),
    (AngleWithin(degrees=80), 3, "vector"),
    (GroupGap(), 1, "group"),
    (DemographicParity(), 1, "label and group"),
    (EqualOpportunity(), 1, "label and group"),
    (EqualizedOdds(), 2, "label and group"),
]


def test_all_of_the_registry_are_here() -> None:
    assert {type(metric) for metric, _, _ in METRICS} >= {
        entry.load() for entry in entries("metrics") if entry.target.startswith("moframework.metrics:")
    }


@pytest.mark.parametrize(("metric", "size", "kind"), METRICS, ids=[metric.label for metric, _, _ in METRICS])
def test_every_metric(metric: Metric, size: int, kind: str) -> None:
    torch.manual_seed(0)
    output = torch.randn(12, size)
    targets = {"class": torch.randint(0, 3, (12,)), "value": torch.randn(12), "vector": torch.randn(12, size)}
    cells = torch.stack([torch.arange(12) // 2 % 2, torch.arange(12) % 2], dim=1)
    target = {**targets, "group": torch.arange(12) % 2, "label and group": cells}[kind]
    whole = value(metric, output, target, size, chunks=1)
    assert value(metric, output, target, size, chunks=5) == pytest.approx(whole, rel=1e-6)
    assert (metric.worst == 0) == metric.higher_is_better

    meter = metric.make(size)
    meter.update(output, target)
    meter.reset()
    meter.update(output[:6].bfloat16(), target[:6])
    half = float(meter.compute())
    assert half == pytest.approx(value(metric, output[:6].bfloat16().float(), target[:6], size), rel=1e-6)


@pytest.mark.parametrize("name", [entry.name for entry in entries("metrics")])
def test_every_metric_has_its_name(name: str) -> None:
    made = build(Metric, name)  # type: ignore[type-abstract]
    assert made.label == name or made in (AngleWithin(), GroupGap())


def test_importing_the_module_does_not_import_torchmetrics() -> None:
    code = "import sys, moframework.metrics; sys.exit('torchmetrics' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


AT_THE_END = F1 | IoU | Precision | Recall | BalancedAccuracy | AUROC
"""What these make of counts or outputs is known on the host."""

META = [(metric, kind) for metric, _, kind in METRICS if not isinstance(metric, AT_THE_END)] + [
    (IoU(over="image"), "class")
]


@pytest.mark.parametrize(("metric", "kind"), META, ids=[metric.label for metric, _ in META])
def test_updates_read_nothing_back_from_the_device(metric: Metric, kind: str) -> None:
    """Tensors on the meta device have no values: whatever reads one, or selects by a mask, fails there."""
    size = 3 if kind == "vector" else 1
    meter = metric.make(size).to("meta")
    shape = {"vector": (4, 3), "label and group": (4, 2)}.get(kind, (4,))
    meter.update(torch.empty(4, size, device="meta"), torch.empty(shape, device="meta"))
    assert meter.compute().device.type == "meta"
