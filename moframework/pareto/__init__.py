"""What a set of loss vectors is worth: dominance, hypervolume and kin, and the evaluated front with all its numbers.

Everything is minimized here; a metric's direction is applied once, in `Front`. Arrays in, numbers and arrays out: no
tensors, no networks, no plotting, no command line. The only modules that call the engine behind the indicators
(moocore) are `indicators` and `attainment`, and there is one hypervolume function.
"""

from moframework.pareto.distribution import cross_angle, gap, normalized, spacing, span, sparsity, spread
from moframework.pareto.front import Front
from moframework.pareto.indicators import (
    angles,
    controllability,
    hypervolume,
    hypervolume_is_exact,
    igd,
    igd_plus,
    nondominated,
    nonuniformity,
    r2,
)
from moframework.pareto.relative import delta_m

__all__ = [
    "Front",
    "angles",
    "controllability",
    "cross_angle",
    "delta_m",
    "gap",
    "hypervolume",
    "hypervolume_is_exact",
    "igd",
    "igd_plus",
    "nondominated",
    "nonuniformity",
    "normalized",
    "r2",
    "spacing",
    "span",
    "sparsity",
    "spread",
]
