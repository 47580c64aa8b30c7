"""Tuning: ranges of options that a spec declares, searched for the largest hypervolume on the validation split.

`ranges` and `spec` declare a study, `loading` reads it, `journal` keeps its trials on disk and says what is tried next
(Optuna), `solving` is what the process of one trial does and how it ended, `processes` starts them, `running` brings
all together; `results`, `saving` and `figures` say what was found. What must not live here: how one run is solved
(that is `run`), and anything that prints (that is the command line).

**Rules**, kept by the code:

1. A trial is a run like any other, of the spec with the tried values: `moframework solve` in a process of its own.
2. The validation split decides, in pruning and in the choice. The test split chooses nothing; nothing of it is read.
3. All trials have one reference point: the one that spec or problem states, else that of the spec with its own values.
4. Every trial counts, those too that were pruned, that failed, or whose numbers were not finite; each is shown.
5. With one worker a study is a function of its spec: the same trials, bit by bit, however often it was interrupted.
6. In a benchmark every contender has the same number of trials, each of the same budget.
"""
