"""What is to be solved: tasks, network and data, declared in a spec, in code or as formulas.

`base` says what a problem is, `task` what one objective is, `declared` how a spec writes or changes problems;
`fitting` lets losses take from the training data what they need, such as weights of classes;
`preparing` says what its models need to answer raw data; `wrapping`, `from_parts`, `tabular` and `analytic` help to
make them; `box_function` is a problem as a search sees it, `objective_function` what a spec may name as one.
What must not live here: particular problems (those are the zoo, `problems/`), or how anything is trained.
"""

from moframework.problem.base import Problem, get_problem
from moframework.problem.box_function import BoxFunction
from moframework.problem.declared import Customized, Declared, ProblemOverrides
from moframework.problem.fitting import fitted
from moframework.problem.objective_function import ObjectiveFunction
from moframework.problem.preparing import preparation_of
from moframework.problem.wrapping import WrappedProblem

__all__ = [
    "BoxFunction",
    "Customized",
    "Declared",
    "ObjectiveFunction",
    "Problem",
    "ProblemOverrides",
    "WrappedProblem",
    "fitted",
    "get_problem",
    "preparation_of",
]
