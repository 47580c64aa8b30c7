"""The reference point of problems that state none: the losses of the untrained network, or the largest there can be."""

from __future__ import annotations

from collections.abc import Sized
from typing import cast

import attrs
import numpy as np
import torch

from moframework.data.sampling import evenly_spread
from moframework.engine.evaluate import Evaluator
from moframework.errors import NonFiniteLossError, SpecError
from moframework.model import ParetoModel
from moframework.processes.world import World
from moframework.run.plan import INIT, Plan
from moframework.seeding import derive_seed

__all__ = ["reference_of", "untrained_losses"]

_FARTHER = 0.1


def reference_of(ready: Plan) -> tuple[float, ...]:
    """The reference point of the loss hypervolume of a run, m numbers: the one that spec or problem states, else that
    of `untrained_losses`. Nothing is trained.

    Raises:
        SpecError: it is a search, whose own evaluations would give the reference, and none is stated.
        NonFiniteLossError: as of `untrained_losses`.
    """
    if ready.reference is not None:
        return tuple(ready.reference)
    if ready.method.search is not None:
        raise SpecError(
            "evaluate.reference: a search takes its reference point from its first evaluations, which are others in "
            "each run: state one, a number a task, so that the hypervolumes of several runs can be compared"
        )
    ready.place.move(ready.model)
    spec = ready.spec
    return untrained_losses(ready, Evaluator.of_spec(spec.problem, ready.place, spec.training, spec.evaluate, World()))


def untrained_losses(ready: Plan, evaluator: Evaluator) -> tuple[float, ...]:
    """The losses of the untrained network at the center of the simplex, 10 % farther out, but the largest value of
    those that have one (`Loss.worst`), m numbers.

    Of the validation split and of as many training samples, evenly spread, the larger loss counts: a scale that one of
    them has alone does not put the front of the other beyond the reference point. The test split chooses nothing.

    They depend on problem, backbone, weight space and seed only, so that they are the same after a resume; also where
    `solver.initial` or members give weights that are trained already, whose losses nothing could be better than.

    Args:
        ready: its model is on the device.
        evaluator: of the problem.

    Raises:
        NonFiniteLossError: such a loss is not finite; the text says what to state instead.
    """
    m = len(ready.spec.problem.tasks)
    evaluator = attrs.evolve(evaluator, metrics=False, reference=[float("inf")] * m)
    model, center = _untrained_model(ready), torch.full((1, m), 1 / m)
    train, val = ready.data["train"], ready.data["val"]
    try:
        found = [
            evaluator.front(model, data, center, split).losses[0]
            for split, data in (("val", val), ("train", evenly_spread(train, len(cast(Sized, val)))))
        ]
    except NonFiniteLossError as error:
        raise NonFiniteLossError(
            "the losses of the untrained network, which serve as the reference point, are not all finite: state one "
            f"(`evaluate.reference`, a number a task), or bring inputs and targets to a scale of about 1. {error}"
        ) from error
    worst = [task.loss.worst for task in ready.spec.problem.tasks]
    return tuple(
        float(value + _FARTHER * abs(value)) if bound is None else bound
        for value, bound in zip(np.maximum(*found), worst, strict=True)
    )


def _untrained_model(ready: Plan) -> ParetoModel:
    """The model as it would begin without `solver.initial` or members, on the device."""
    if ready.method.initial is None and ready.method.start is None:
        return ready.model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(ready.spec.seed, INIT, 1))
        model = ParetoModel(ready.model.recipe)
    ready.place.move(model)
    return model
