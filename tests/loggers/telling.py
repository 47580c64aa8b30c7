"""What the engine tells a log, without an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch

from moframework.backbones.mlp import MLP
from moframework.engine.events import Progress, Reading
from moframework.loggers import Results
from moframework.model import ParetoModel, Recipe
from moframework.pareto.front import Front
from moframework.weights.low_rank import LowRank

TASKS = ("left", "right")
STEPS = 40


def progress(step: int) -> Progress:
    return Progress(step=step, steps=STEPS, epoch=step / 10, epochs=4)


def front(step: int) -> Front:
    """Three points, all non-dominated, better the later the step."""
    preferences = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    losses = np.array([[0.1, 0.8], [0.3, 0.4], [0.7, 0.2]]) * (1 - step / 100)
    accuracies = {"left/accuracy": np.array([0.9, 0.7, 0.3]), "right/accuracy": np.array([0.2, 0.6, 0.8])}
    return Front(
        tasks=TASKS,
        preferences=preferences,
        losses=losses,
        metrics=accuracies,
        higher_is_better=dict.fromkeys(accuracies, True),
        split="val",
        reference=(1.0, 1.0),
        metric_reference=dict.fromkeys(accuracies, 0.0),
    )


def tell(log: Any, step: int, *, loss: float | None = None) -> None:
    """What the engine tells after a step at which it logs, validates and saves."""
    log.stepped(progress(step))
    log.logged(
        progress(step),
        Reading(
            losses={"left": step / 10 if loss is None else loss, "right": 0.5},
            learning_rates={"main": 1e-3, "adapters": 2e-3},
            preferences=np.array([[0.25, 0.75], [0.6, 0.4]]),
            seconds_per_step=0.0125,
        ),
    )
    log.evaluated(progress(step), front(step), hypervolume=front(step).hypervolume(), is_best=True)
    log.saved(progress(step), Path("checkpoints/last"))


def results() -> Results:
    """Of a model that was never trained, but differs between preferences."""
    torch.manual_seed(0)
    model = ParetoModel(
        Recipe(
            tasks=TASKS,
            backbone=MLP(hidden=(4,)),
            input_shape=(3,),
            outputs={"left": 2, "right": 2},
            weights=LowRank(rank=1),
        )
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    fronts = {split: attrs.evolve(front(40), split=split) for split in ("val", "test")}
    return Results(fronts=fronts, facts={"steps": 40}, model=model)
