"""What is to be solved: tasks, network and data, declared in a spec, in code or as formulas.

`base` says what a problem is, `task` what one objective is, `declared` how a spec writes or changes problems;
`fitting` lets losses take from the training data what they need, such as weights of classes;
`preparing` says what its models need to answer raw data; `wrapping`, `from_parts`, `tabular` and `analytic` help to
make them. What must not live here: particular problems (those are the zoo, `problems/`), or how anything is trained.
"""

from moframework.problem.base import Problem, get_problem
from moframework.problem.declared import Customized, Declared, ProblemOverrides
from moframework.problem.fitting import fitted
from moframework.problem.preparing import preparation_of
from moframework.problem.wrapping import WrappedProblem

__all__ = [
    "Customized",
    "Declared",
    "Problem",
    "ProblemOverrides",
    "WrappedProblem",
    "fitted",
    "get_problem",
    "preparation_of",
]
