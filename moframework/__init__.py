"""moframework: declarative Pareto front learning in PyTorch.

A problem (tasks, backbone, data) and a solver (PaLoRA, discrete multi-point, …) in one spec; `solve` trains one
model that holds the whole Pareto front, and a preference λ on the simplex, chosen at inference, picks the operating
point.

The names below are the public interface; they are loaded when first used, so that importing the package costs
nothing. Options of parts of your own are declared with `from moframework.config import config, option`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from moframework import _moved

if TYPE_CHECKING:
    from moframework.augmentations import Augmentation as Augmentation
    from moframework.backbones.base import Backbone as Backbone
    from moframework.benchmark.executor import Executor as Executor
    from moframework.benchmark.loading import load_benchmark as load_benchmark
    from moframework.benchmark.running import run_benchmark as run_benchmark
    from moframework.benchmark.spec import Benchmark as Benchmark
    from moframework.data import Collate as Collate
    from moframework.data import DataSource as DataSource
    from moframework.data import TensorData as TensorData
    from moframework.engine.events import Observer as Observer
    from moframework.engine.events import Progress as Progress
    from moframework.engine.events import Reading as Reading
    from moframework.engine.method import Method as Method
    from moframework.errors import MoframeworkError as MoframeworkError
    from moframework.errors import SpecError as SpecError
    from moframework.loggers import Logger as Logger
    from moframework.losses import Loss as Loss
    from moframework.metrics import Metric as Metric
    from moframework.model import ParetoModel as ParetoModel
    from moframework.objectives import Aggregation as Aggregation
    from moframework.objectives import Balancing as Balancing
    from moframework.objectives import Objective as Objective
    from moframework.objectives import Scalarization as Scalarization
    from moframework.objectives import Weighting as Weighting
    from moframework.pareto.front import Front as Front
    from moframework.preferences import Schedule as Schedule
    from moframework.problem import Problem as Problem
    from moframework.problem import get_problem as get_problem
    from moframework.problem.from_parts import problem_from_parts as problem_from_parts
    from moframework.problem.task import Task as Task
    from moframework.run.run import Run as Run
    from moframework.run.run import load as load
    from moframework.run.solving import check as check
    from moframework.run.solving import solve as solve
    from moframework.solvers.base import Solver as Solver
    from moframework.spec import Spec as Spec
    from moframework.spec import load_spec as load_spec
    from moframework.weights import WeightSpace as WeightSpace
    from moframework.weights import WeightSpaceConfig as WeightSpaceConfig

_HOMES = {
    "Aggregation": "moframework.objectives",
    "Augmentation": "moframework.augmentations",
    "Backbone": "moframework.backbones.base",
    "Balancing": "moframework.objectives",
    "Benchmark": "moframework.benchmark.spec",
    "Collate": "moframework.data",
    "DataSource": "moframework.data",
    "Executor": "moframework.benchmark.executor",
    "Front": "moframework.pareto.front",
    "Logger": "moframework.loggers",
    "Loss": "moframework.losses",
    "Method": "moframework.engine.method",
    "Metric": "moframework.metrics",
    "MoframeworkError": "moframework.errors",
    "Objective": "moframework.objectives",
    "Observer": "moframework.engine.events",
    "ParetoModel": "moframework.model",
    "Problem": "moframework.problem",
    "Progress": "moframework.engine.events",
    "Reading": "moframework.engine.events",
    "Run": "moframework.run.run",
    "Scalarization": "moframework.objectives",
    "Schedule": "moframework.preferences",
    "Solver": "moframework.solvers.base",
    "Spec": "moframework.spec",
    "SpecError": "moframework.errors",
    "Task": "moframework.problem.task",
    "TensorData": "moframework.data",
    "WeightSpace": "moframework.weights",
    "WeightSpaceConfig": "moframework.weights",
    "Weighting": "moframework.objectives",
    "check": "moframework.run.solving",
    "get_problem": "moframework.problem",
    "load": "moframework.run.run",
    "load_benchmark": "moframework.benchmark.loading",
    "load_spec": "moframework.spec",
    "problem_from_parts": "moframework.problem.from_parts",
    "run_benchmark": "moframework.benchmark.running",
    "solve": "moframework.run.solving",
}
__all__ = sorted(_HOMES)

_moved.install()


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'moframework' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
