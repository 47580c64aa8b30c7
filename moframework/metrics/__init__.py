"""Metrics of tasks: what a user wants to know of a model, each with its direction. Computed by torchmetrics.

What lives here: the interface, and one file for each notion. What must not: losses, which are differentiated, and
indicators of whole fronts, which are in `pareto`.
"""

from moframework.metrics.accuracy import Accuracy
from moframework.metrics.angles import AngleWithin, MeanAngle, MedianAngle
from moframework.metrics.base import Metric
from moframework.metrics.errors import MAE, MSE, RelativeError
from moframework.metrics.f1 import F1
from moframework.metrics.fairness import DemographicParity, EqualizedOdds, EqualOpportunity
from moframework.metrics.group_gap import GroupGap
from moframework.metrics.iou import IoU

__all__ = [
    "F1",
    "MAE",
    "MSE",
    "Accuracy",
    "AngleWithin",
    "DemographicParity",
    "EqualOpportunity",
    "EqualizedOdds",
    "GroupGap",
    "IoU",
    "MeanAngle",
    "MedianAngle",
    "Metric",
    "RelativeError",
]
