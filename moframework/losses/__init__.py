"""Losses: additive statistics of each sample, finished once. One file a notion; mirrors `metrics`.

What lives here: the interface, and the losses that a spec can name. What must not: metrics, which are reported and not
differentiated, and how losses of several tasks become one number, which is in `objectives`.
"""

from moframework.losses.base import Loss, MeanLoss, group_sums
from moframework.losses.cosine import Cosine
from moframework.losses.cross_entropy import BinaryCrossEntropy, CrossEntropy
from moframework.losses.fairness import DemographicParity, EqualizedOdds, EqualOpportunity
from moframework.losses.group_gap import GroupGap
from moframework.losses.regression import L1, MSE, Huber, MaskedL1

__all__ = [
    "L1",
    "MSE",
    "BinaryCrossEntropy",
    "Cosine",
    "CrossEntropy",
    "DemographicParity",
    "EqualOpportunity",
    "EqualizedOdds",
    "GroupGap",
    "Huber",
    "Loss",
    "MaskedL1",
    "MeanLoss",
    "group_sums",
]
