"""λ joined to the input without joining it: the first layer is computed on each sample's own part, and once on what
all samples share (`layers.shared_concat`). For COSMOS."""

from __future__ import annotations

from typing import ClassVar

from moframework.engine.acceleration.base import Acceleration
from moframework.engine.settings import Training
from moframework.engine.step import Step
from moframework.weights.conditioned import ConditionedNetwork

__all__ = ["SharedConcat"]


class SharedConcat(Acceleration):
    """Sets `ConditionedNetwork.lazy`. A first operation that is no layer it knows sees the concatenation."""

    does: ClassVar[str] = "a first layer reads λ once for all samples"

    @classmethod
    def declines(cls, step: Step, training: Training) -> str | None:
        if not isinstance(step.model.skeleton, ConditionedNetwork):
            return "the preference is no input of the network"
        if training.compile:
            return "training.compile sees the concatenation"
        return None

    def __init__(self, step: Step, training: Training) -> None:
        assert isinstance(step.model.skeleton, ConditionedNetwork), "asked before"
        step.model.skeleton.lazy = True
