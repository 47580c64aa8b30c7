"""The model: any network whose weights are a function of a preference; operating points; saving and loading.

What must not live here: training, data, problems.
"""

from moframework.model.pareto_model import PREFERENCE, ParetoModel, Recipe, Runner, load_parameters

__all__ = ["PREFERENCE", "ParetoModel", "Recipe", "Runner", "load_parameters"]
