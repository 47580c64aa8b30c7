"""Weight spaces: differentiable maps from a preference λ to the complete parameters of a network.

One space a file. What lives here: how θ(λ) is parameterized, initialized and materialized. What must not: losses,
schedules, optimizers, or anything that knows which solver uses the space.
"""

from moframework.weights.base import WeightSpace, WeightSpaceConfig

__all__ = ["WeightSpace", "WeightSpaceConfig"]
