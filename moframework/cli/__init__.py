"""The command line: commands, progress bars, tables, and what `new` writes. The only place that prints.

What must not live here: anything that a program would want to call; that belongs to `run`, `spec` or `benchmark`.
"""
