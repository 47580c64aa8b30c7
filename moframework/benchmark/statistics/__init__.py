"""What the numbers of a benchmark allow to say: intervals, ranks, tests, profiles, attainment surfaces, courses.

`interval`, `ranking`, `pairs`, `profile` are functions of arrays; `found` says what an analysis holds, `analysis` makes
one of the results of a benchmark, and `page`, `plain`, `figures` show it. What must not live here: anything that runs a
cell, and numbers that are not of finished cells. Nothing here is nan: what is not defined is None, and a note says why.
"""
