"""What stands in for parts of the plain step because the spec asks for another computation, not a faster one."""

from __future__ import annotations

from moframework.engine.features import FeaturePass
from moframework.engine.micro_batches import MicroBatches
from moframework.engine.settings import Training
from moframework.engine.step import Step
from moframework.objectives.features import FeatureAggregation

__all__ = ["extend"]


def extend(step: Step, training: Training) -> FeaturePass | None:
    """Install into a step what the training and the objective ask for; returns what finds the heads of the network,
    where the objective combines gradients at the features. Raises as `FeaturePass`."""
    objective = step.method.objective
    found = FeaturePass(step, objective, training) if isinstance(objective, FeatureAggregation) else None
    if training.accumulate > 1:
        MicroBatches(step, training.accumulate)
    return found
