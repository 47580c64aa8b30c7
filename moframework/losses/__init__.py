"""Losses: additive statistics of each sample, finished once. One file a loss or a family; mirrors `metrics`."""

from moframework.losses.base import (
    L1,
    MSE,
    BinaryCrossEntropy,
    Cosine,
    CrossEntropy,
    GroupGap,
    Huber,
    Loss,
    MaskedL1,
    MeanLoss,
    piece_sums,
)

__all__ = [
    "L1",
    "MSE",
    "BinaryCrossEntropy",
    "Cosine",
    "CrossEntropy",
    "GroupGap",
    "Huber",
    "Loss",
    "MaskedL1",
    "MeanLoss",
    "piece_sums",
]
