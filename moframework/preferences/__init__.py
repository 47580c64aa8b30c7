"""Which preferences are used: drawn for each training step by a schedule, fixed for evaluation.

A preference is a row of m weights on the simplex: none negative, summing to one. Everything here is a pure function of
its arguments; randomness comes from a passed generator, results are on the CPU. What must not live here: losses,
networks, devices, and how a preference is turned into weights or into a scalar.
"""

from moframework.preferences.base import Schedule
from moframework.preferences.evaluation import evaluation_set

__all__ = ["Schedule", "evaluation_set"]
