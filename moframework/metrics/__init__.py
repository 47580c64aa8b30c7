"""Metrics of tasks: what a user wants to know of a model, each with its direction. Computed by torchmetrics.

What lives here: the interface, and one file for each notion. What must not: losses, which are differentiated, and
indicators of whole fronts, which are in `pareto`.
"""

from moframework.metrics.accuracy import Accuracy
from moframework.metrics.angles import AngleWithin, MeanAngle, MedianAngle
from moframework.metrics.base import Metric
from moframework.metrics.by_class import BalancedAccuracy, Precision, Recall
from moframework.metrics.calibration import CalibrationError
from moframework.metrics.errors import MAE, MSE, R2, RMSE, RelativeError
from moframework.metrics.f1 import F1
from moframework.metrics.fairness import DemographicParity, EqualizedOdds, EqualOpportunity
from moframework.metrics.function import FunctionMetric
from moframework.metrics.group_gap import GroupGap
from moframework.metrics.iou import IoU
from moframework.metrics.ranking import AUROC, AveragePrecision

__all__ = [
    "AUROC",
    "F1",
    "MAE",
    "MSE",
    "R2",
    "RMSE",
    "Accuracy",
    "AngleWithin",
    "AveragePrecision",
    "BalancedAccuracy",
    "CalibrationError",
    "DemographicParity",
    "EqualOpportunity",
    "EqualizedOdds",
    "FunctionMetric",
    "GroupGap",
    "IoU",
    "MeanAngle",
    "MedianAngle",
    "Metric",
    "Precision",
    "Recall",
    "RelativeError",
]
