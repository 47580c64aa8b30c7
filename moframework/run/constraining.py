"""Constraints of a spec: where training draws preferences because of them, and how they limit the dial of its model.

Training begins as without constraints. From its half on preferences are drawn from the part of the simplex whose
operating points meet the constraints on the validation split, widened by a tenth, since the part moves as training goes
on; it is found again at three quarters. What is trained is the objective of the solver throughout: a constraint is no
term of a loss, and so it may as well be one on a metric. When training is over, the part is found once more, closely,
and the simplex of the model stands for it from then on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor

from moframework.config import unstructure
from moframework.data import Dataset
from moframework.data.sampling import evenly_spread
from moframework.engine.evaluate import Evaluator, calibration_data
from moframework.engine.loop import Hook, Loop
from moframework.errors import SpecError
from moframework.model import ParetoModel
from moframework.pareto.conditions import Condition, read_conditions
from moframework.pareto.front import Front
from moframework.preferences.adaptive import Adaptive
from moframework.run.feasible import Feasible, find_feasible
from moframework.run.reachable import check_reachable
from moframework.spec import Spec

__all__ = ["Constraining", "conditions_of", "limit_dial"]

SEARCHES = (0.5, 0.75)
"""Shares of the training after which the part is found that preferences are drawn from."""
_WIDER = 0.1  # of the way from a vertex of that part to the vertex of the simplex
_SAMPLES = 2000  # of the validation split, that it is found on
_HALVINGS = 5


def conditions_of(spec: Spec) -> list[Condition]:
    """What the constraints of a spec say.

    Raises:
        SpecError: one cannot be read, names no column, or the solver has no dial to limit; all that is wrong with them.

    Example::

        conditions_of(load_spec({"problem": "digits", "solver": "palora", "constraints": {"left/loss": "<= 0.3"}}))
    """
    if not spec.constraints:
        return []
    tasks = spec.problem.tasks
    names = [f"{task.name}/loss" for task in tasks]
    names += [f"{task.name}/{metric.label}" for task in tasks for metric in task.metrics]
    found, faults = list[Condition](), list[str]()
    if not type(spec.solver).continuous:
        name = unstructure(spec.solver)["name"]
        faults.append(
            f"constraints: {name} trains a finite set of preferences, so there is no dial to limit: leave them out "
            "and choose among its points by moframework pick RUN --where CONDITION"
        )
    if isinstance(spec.solver.method(len(tasks)).preferences, Adaptive):
        faults.append(
            "constraints: an adaptive schedule chooses by itself where preferences are drawn; take another one "
            "(solver.preferences: annealed)"
        )
    for name, given in (spec.constraints or {}).items():
        for text in (given,) if isinstance(given, str) else given:
            try:
                read = read_conditions(f"{name} {text}", names)
                check_reachable(read, tasks)
                found += read
            except ValueError as error:
                faults.append(f"constraints.{name}: {error}")
    if faults:
        raise SpecError("\n".join(faults))
    return found


class Constraining(Hook):
    """Finds the part of the simplex that meets the constraints, and has preferences drawn from it.

    Args:
        conditions: at least one.
        loop: of the training, which has not begun.
        phase: the time inside counts as that of an evaluation.
    """

    every_step = True

    def __init__(
        self, conditions: Sequence[Condition], loop: Loop, phase: Callable[[], AbstractContextManager[None]]
    ) -> None:
        job = loop.job
        self.conditions, self.phase = conditions, phase
        self.vertices: list[list[float]] | None = None
        self.data = evenly_spread(job.validation, _SAMPLES)
        evaluator = Evaluator.of_spec(job.problem, job.place, job.training, job.evaluation, loop.world)
        calibration = calibration_data(job.evaluation, job.data)
        self.evaluator = attrs.evolve(evaluator, reference=job.reference, calibration=calibration)

    def after_step(self, loop: Loop) -> None:
        """See `Hook.after_step`: evaluates the model twice in a training."""
        if loop.done not in [math.ceil(share * loop.steps) for share in SEARCHES] or loop.at_end:
            return
        loop.sync_buffers()
        with self.phase():
            evaluate = _evaluation(self.conditions, self.evaluator, loop.model, self.data)
            found = find_feasible(self.conditions, evaluate, loop.m, halvings=_HALVINGS)
        if found.vertices is not None:
            self._draw_from(loop, (found.vertices + _WIDER * (np.eye(loop.m) - found.vertices)).tolist())
        loop.clock.restart()

    def state(self) -> dict[str, Any]:
        """See `Hook.state`."""
        return {"constrained": self.vertices}

    def load(self, loop: Loop, state: dict[str, Any]) -> None:
        """See `Hook.load`."""
        if state.get("constrained") is not None:
            self._draw_from(loop, state["constrained"])

    def _draw_from(self, loop: Loop, vertices: list[list[float]]) -> None:
        self.vertices, rows = vertices, torch.tensor(vertices)
        loop.draw_by(lambda *given: loop.schedule.draw(*given) @ rows)


def limit_dial(
    conditions: Sequence[Condition],
    model: ParetoModel,
    evaluator: Evaluator,
    data: Dataset,
    preferences: Tensor,
    noted: Callable[[str], None],
) -> Feasible:
    """Let the simplex of a trained model stand for the part whose operating points meet conditions.

    Args:
        conditions: at least one.
        model: changed in place, unless no point meets all conditions, or all points do.
        evaluator: as of the fronts.
        data: the validation split.
        preferences: the evaluation set (n, m), which is to meet the conditions.
        noted: is told what became of the dial, a sentence or two.
    """
    evaluate = _evaluation(conditions, evaluator, model, data)
    found = find_feasible(conditions, evaluate, len(model.tasks), wanted=preferences.cpu())
    if found.vertices is not None and not found.whole:
        model.restrict(torch.tensor(found.vertices, dtype=torch.float32))
    noted(_words(conditions, model.tasks, found))
    return found


def _evaluation(
    conditions: Sequence[Condition], evaluator: Evaluator, model: ParetoModel, data: Dataset
) -> Callable[[Tensor], Front]:
    """From preferences to their front; metrics only where a condition asks for one."""
    metrics = any(not one.column.endswith("/loss") for one in conditions)
    front = partial(attrs.evolve(evaluator, metrics=metrics).front, model, data)
    return lambda preferences: front(preferences, "val")


def _words(conditions: Sequence[Condition], tasks: Sequence[str], found: Feasible) -> str:
    """What became of the dial."""
    said = ", ".join(map(str, conditions))
    if found.vertices is None:
        return (
            f"The constraints ({said}) cannot be met, and the dial is left as it is: of {len(found.seen.losses)} "
            f"points evaluated on the validation split none meets them all. The nearest is λ = "
            f"({_row(found.nearest or ())}): "
            f"{'; '.join(found.misses)}. Each alone: {found.alone}."
        )
    if found.whole:
        return f"The constraints ({said}) hold on the validation split at every preference, and do not limit the dial."
    ends = "; ".join(f"{task} for ({_row(row)})" for task, row in zip(tasks, found.vertices, strict=True))
    return (
        f"The dial is limited to what meets the constraints ({said}) on the validation split: the whole weight on a "
        f"task stands for these preferences of the training: {ends}."
    )


def _row(preference: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in preference)
