"""Benchmarks: solvers × problems × seeds from one spec, each cell a run of its own, one table and one figure.

`spec` declares a benchmark, `composing` and `loading` turn its text into the spec of every cell, `cells` says where a
cell lies and how far it is, `executor` and `local` run cells, `tuning` chooses from the grid, `running` brings all
together; `measures`, `table`, `markdown` and `figure` make the results. What must not live here: how one run is solved
(that is `run`), and anything that prints (that is the command line).

**Rules of fairness**, kept by the code, not by whoever writes a spec:

1. Every contender sees the same problem: the same data and draw, network, seeds, and by default the same training
   budget. Where an entry trains or evaluates differently from the rest, the result says in what.
2. What is tuned is tuned for every contender, over the same grid, by validation hypervolume, with one seed; the choice
   then serves all seeds. The learning rate moves the numbers as much as the method does. A choice at the edge of the
   grid is marked: a wider grid might have given that contender more.
3. The test split chooses nothing: not the tuned values, and not the single operating point whose metric is reported.
4. Hypervolumes of a problem have one reference point. Where neither spec nor problem states one, it is the
   componentwise worst of those that the runs used.
5. Numbers are computed seed by seed, then averaged: mean ± sample standard deviation. The union of the fronts of
   several seeds is larger than any of them, and no mean over seeds.
6. A cell that failed is shown as such, and the number of seeds that a mean is over stands beside it.
7. Times are comparable when cells ran on the same machine with as many threads each; the result says when they did not.
"""
