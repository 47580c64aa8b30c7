"""The problem zoo: one module per problem, each using only the public API, as a third party would.

Installed, this folder is `moframework.problems`. What lives here: data, tasks, backbone and facts of a
problem. What must not: solvers, training code, anything another problem would want (that belongs to `moframework`).
"""
