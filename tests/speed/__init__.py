"""How fast the framework is, as ratios to the physical limit: a plain training step of the same network.

`python -m tests.speed` measures on the machine at hand and prints a table; `--help` tells the rest. What is compared is
measured in one process, the contenders taking turns, so that a machine that is busy with other things slows all of them
alike; what is told is the median over rounds of the ratio within a round, and its quartiles. Nothing here is run by
pytest, but for a check that the harness works.

`python -m tests.speed --against CHECKOUT` measures this checkout against another one in the same way (`versions`).
Where a machine is busy, `--rounds 40 --seconds 0.05` tells more than few long turns; a checkout against itself tells
how much of a ratio is noise.
"""
