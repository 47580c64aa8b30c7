"""The model: any network whose weights are a function of a preference.

`pareto_model` is the model itself, `functional` its network as a function of weights, `recipe` what it is built from,
`operating_point` the plain network of one preference, `kept` its merged weights, `mixed` a batch with a preference for
each sample, `one_pass` and `sample_weights` its single pass through the network, `io` the model's folder, `initial`
weights to start from, `adapters` those of PEFT, `sample_mixing` whether the network treats samples one by one,
`protocol` what these use of the model. What must not live here: training, data, problems.
"""

from moframework.model.functional import PREFERENCE, Runner
from moframework.model.initial import load_initial, load_parameters
from moframework.model.pareto_model import ParetoModel
from moframework.model.recipe import Recipe

__all__ = ["PREFERENCE", "ParetoModel", "Recipe", "Runner", "load_initial", "load_parameters"]
