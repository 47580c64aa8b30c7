"""Solvers: one short file each, a config class with the paper's defaults and the assembly of its parts.

What must not live here: training loops, drawing of preferences, weight arithmetic: those are parts.
"""

from moframework.solvers.base import Method, Solver

__all__ = ["Method", "Solver"]
