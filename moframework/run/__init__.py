"""From a spec to a run directory: solving, logging, resuming, and reading finished runs.

What lives here: everything that touches the files of a run. What must not: training itself (that is `engine`, which
only calls observers), and anything that prints (that is the command line).
"""
