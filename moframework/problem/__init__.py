"""What is to be solved: tasks, network and data, declared in a spec, in code or as formulas.

What must not live here: particular problems (those are the zoo, `problems/`), or how anything is trained.
"""

from moframework.problem.base import Customized, Declared, Problem, ProblemOverrides, get_problem

__all__ = ["Customized", "Declared", "Problem", "ProblemOverrides", "get_problem"]
