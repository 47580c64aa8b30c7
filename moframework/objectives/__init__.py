"""Objectives: how a matrix of losses becomes one direction to descend. Pure functions of tensors.

Notation: `r` preferences in a step, `m` objectives, losses L (r, m), preferences Λ (r, m); all losses are minimized.
What must not live here: networks, optimizers, drawing of preferences.
"""

from moframework.objectives.balancing import Balancing
from moframework.objectives.base import Aggregation, Objective, Scalarization, Weighting
from moframework.objectives.features import FeatureAggregation

__all__ = ["Aggregation", "Balancing", "FeatureAggregation", "Objective", "Scalarization", "Weighting"]
