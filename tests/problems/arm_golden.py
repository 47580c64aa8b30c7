"""Makes arm_golden.json: torques of the Panda's links by Pinocchio, an independent library of rigid-body dynamics.

Run in an environment of its own, from the repository's root: it needs `pin` beside numpy, and nothing of ours:

    python -m venv golden && golden/bin/pip install pin==4.1.0 && golden/bin/python tests/problems/arm_golden.py

The links are written down here once more, in the terms of the maker's robot description (placements by rotation and
translation, inertia about the center of mass), so that a slip in `problems/arm.py` cannot hide here too.
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import numpy as np

# mass; center of mass; Ixx, Ixy, Ixz, Iyy, Iyz, Izz: as in the maker's description of the robot
LINKS = (
    (4.970684, (0.003875, 0.002081, -0.04762), (0.70337, -0.000139, 0.006772, 0.70661, 0.019169, 0.009117)),
    (0.646926, (-0.003141, -0.02872, 0.003495), (0.007962, -0.003925, 0.010254, 0.02811, 0.000704, 0.025995)),
    (3.228604, (0.027518, 0.039252, -0.066502), (0.037242, -0.004761, -0.011396, 0.036155, -0.012805, 0.01083)),
    (3.587895, (-0.05317, 0.104419, 0.027454), (0.025853, 0.007796, -0.001332, 0.019552, 0.008641, 0.028323)),
    (1.225946, (-0.011953, 0.041065, -0.038437), (0.035549, -0.002117, -0.004037, 0.029474, 0.000229, 0.008627)),
    (1.666555, (0.060149, -0.014117, -0.010517), (0.001964, 0.000109, -0.001158, 0.004354, 0.000341, 0.005433)),
    (0.735522, (0.010517, -0.004252, 0.061597), (0.012516, -0.000428, -0.001196, 0.010027, -0.000741, 0.004815)),
)
# translation and turn about x (in quarter turns) of each joint's frame in that of the link before
JOINTS = (
    ((0, 0, 0.333), 0), ((0, 0, 0), -1), ((0, -0.316, 0), 1), ((0.0825, 0, 0), 1),
    ((-0.0825, 0.384, 0), -1), ((0, 0, 0), 1), ((0.088, 0, 0), 1),
)  # fmt: skip
SEED, STATES = 0, 6


def main() -> None:
    """Write the file beside this script."""
    import pinocchio as pin

    model = pin.Model()
    parent = 0
    for (mass, center, moments), (translation, quarters) in zip(LINKS, JOINTS, strict=True):
        turn = pin.utils.rotate("x", quarters * np.pi / 2)
        placement = pin.SE3(turn, np.array(translation, dtype=float))
        parent = model.addJoint(parent, pin.JointModelRZ(), placement, f"joint{parent + 1}")
        xx, xy, xz, yy, yz, zz = moments
        inertia = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        model.appendBodyToJoint(parent, pin.Inertia(mass, np.array(center), inertia), pin.SE3.Identity())
    model.gravity.linear = np.array([0.0, 0.0, -9.81])
    data = model.createData()
    states = np.random.RandomState(SEED).uniform(-2, 2, (STATES, 3, 7))
    torques = [pin.rnea(model, data, *state).tolist() for state in states]
    golden = {
        "peer": f"pinocchio {pin.__version__} (package pin), pinocchio.rnea",
        "made by": "tests/problems/arm_golden.py",
        "seed": SEED,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "tolerance": "relative 1e-9: both are exact up to rounding",
        "states": states.tolist(),
        "torques": torques,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{STATES} states\n")


if __name__ == "__main__":
    main()
