"""Hypervolume below (1, 1) and mean angle of the benchmark `rays`, at three sets of 20 preferences.

python docs/benchmarks/rays/angles.py runs/rays
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from moframework import Run

DEGREES = np.radians(np.linspace(1, 89, 20))
SETS = {
    "even from 0 to 1": np.linspace([0, 1], [1, 0], 20),
    "even from .01 to .99": np.linspace([0.01, 0.99], [0.99, 0.01], 20),
    "even angles": np.stack([np.cos(DEGREES), np.sin(DEGREES)], axis=1),
}


def main(folder: Path) -> None:
    """Print mean and sample standard deviation over the seeds."""
    runs = [Run(path.parent) for path in sorted(folder.glob("cells/*/phn/*/status.json"))]
    for name, preferences in SETS.items():
        fronts = [run.evaluate(preferences=preferences.tolist()) for run in runs]
        volumes = [front.hypervolume((1, 1)) for front in fronts]
        angles = [float(front.angles("preference").mean()) for front in fronts]
        for what, values in (("hypervolume", volumes), ("mean angle", angles)):
            spread = np.std(values, ddof=1)
            sys.stdout.write(f"{name}, {what}: {np.mean(values):.5f} ± {spread:.5f} over {len(runs)} seeds\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
