"""How weights are stepped: optimizers and learning-rate schedules of torch by name, schedules in a row, and groups of
parameters by pattern.

What lives here: options, and what they make of torch's own classes. What must not: the training loop, and weight
spaces, which say what their parameters are called.
"""

from moframework.optim.groups import ParameterGroup, describe_groups, split_groups
from moframework.optim.optimizers import Optimizer, default_optimizer
from moframework.optim.row import Schedulers, check_row
from moframework.optim.schedules import LRSchedule

__all__ = [
    "LRSchedule",
    "Optimizer",
    "ParameterGroup",
    "Schedulers",
    "check_row",
    "default_optimizer",
    "describe_groups",
    "split_groups",
]
