"""What is to be solved: tasks, network and data, declared in a spec, in code or as formulas.

`base` says what a problem is, `task` what one objective is, `declared` how a spec writes or changes problems;
`from_parts`, `tabular` and `analytic` help to make them. What must not live here: particular problems (those are the
zoo, `problems/`), or how anything is trained.
"""

from moframework.problem.base import Problem, ProblemWrapper, get_problem
from moframework.problem.declared import Customized, Declared, ProblemOverrides

__all__ = ["Customized", "Declared", "Problem", "ProblemOverrides", "ProblemWrapper", "get_problem"]
