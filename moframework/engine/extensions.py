"""What stands in for parts of the plain step because the spec asks for another computation, not a faster one."""

from __future__ import annotations

from moframework.engine.features import FeaturePass
from moframework.engine.micro_batches import MicroBatches
from moframework.engine.settings import Training
from moframework.engine.step import Step
from moframework.objectives.features import FeatureAggregation

__all__ = ["extend"]


def extend(step: Step, training: Training) -> None:
    """Install into a step what the training and the objective ask for. Raises as `FeaturePass`."""
    if isinstance(step.method.objective, FeatureAggregation):
        FeaturePass(step, step.method.objective, training)
    if training.accumulate > 1:
        MicroBatches(step, training.accumulate)
