"""Searching a function that is expensive and has no gradients: which points to evaluate next, and a model of the whole.

`base` says what a search is, `evaluations` what is known of the function and how that is kept; `surrogate`,
`acquisition` and `pareto_set` are what Pareto set learning is made of, and `psl`, `nsga2`, `qnehvi` the searches. What
must not live here: the loop that evaluates (`moframework.run.searching`), or the options of solvers.
"""

from moframework.blackbox.base import Budget, Request, Search
from moframework.blackbox.evaluations import Evaluation, EvaluationLog, Evaluations

__all__ = ["Budget", "Evaluation", "EvaluationLog", "Evaluations", "Request", "Search"]
