"""How fast the framework is, as ratios to the physical limit: a plain training step of the same network.

`python -m tests.speed` measures on the machine at hand and prints a table; `--help` tells the rest. What is compared is
measured in one process, the contenders taking turns, so that a machine that is busy with other things slows all of them
alike; what is told is the median over rounds of the ratio within a round, and its quartiles. Nothing here is run by
pytest, but for a check that the harness works.
"""
