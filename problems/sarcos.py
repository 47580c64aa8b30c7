"""`sarcos`: inverse dynamics of a seven-joint robot arm, seven regressions from one input."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from moframework.config import config, option
from moframework.data import Split, TensorData, check_split
from moframework.data.cache import data_folder
from moframework.errors import DataError

from .seven_joints import INPUTS, JOINTS, SevenJoints

__all__ = ["SARCOS"]

_QUANTILE = 0.9
_PUBLISHED = (44_484, 4_448)  # rows of the published training file, and those of them that validate


@config
class SARCOS(SevenJoints):
    """Tell the torques of the seven joints of a SARCOS arm from their positions, velocities and accelerations.

    **Source.** Recorded by S. Vijayakumar and S. Schaal ("Locally Weighted Projection Regression", ICML 2000);
    published with Rasmussen and Williams, "Gaussian Processes for Machine Learning". **License.** Free for research.
    **How to obtain.** `sarcos_inv.mat` and `sarcos_inv_test.mat` from http://gaussianprocess.org/gpml/data/, put into
    `root/sarcos`.

    **Construction**, as the authors of PHN have it, whom PaLoRA follows: the first 4,448 of the 44,484 rows of
    `sarcos_inv.mat` validate, the others train; of a file with another number of rows the same share validates, a
    tenth. `sarcos_inv_test.mat` (4,449 rows) is the test. Each torque is divided by the size of its 0.9 quantile on
    the training rows. Theirs is the quantile of the signed torques (`scale: quantile`), which comes close to 0 where a
    joint mostly pushes one way: torque5 then has a variance in the hundreds and outweighs all others, and those of
    torque2 and torque6 are above 1. With `scale: absolute_quantile`, that of the torques' sizes, each is between 0.1
    and 0.4. Inputs stay in their units, as theirs do, unless `standardize` asks for zero mean and unit variance.

    Known of the published files: most of the test rows also occur in the training file, so that the test error says
    little of other trajectories. Comparisons with published figures need these files all the same.

    **Tasks.** `torque1` … `torque7`: mean squared error; mean absolute error beside it.
    **Reference point** (1, 5, 1, 1, 10, 10, 1), the one of PaLoRA's experiments, which makes up for the signed
    quantiles; 1 for each task with `absolute_quantile`, some three to ten times what a constant costs.

    With torques and inputs on one footing::

        problem: {name: sarcos, scale: absolute_quantile, standardize: true}
        solver: palora
    """

    root: Path | None = option(
        None, help="folder that has sarcos/sarcos_inv.mat; none: MOFRAMEWORK_DATA, else a folder in the user's cache"
    )
    scale: Literal["quantile", "absolute_quantile"] = option(
        "quantile", help="torques are divided by the 0.9 quantile of their values, as published, or of their sizes"
    )
    standardize: bool = option(False, help="scale each input to zero mean and unit variance on the training rows")

    @property
    def reference(self) -> tuple[float, ...]:
        """(1, 5, 1, 1, 10, 10, 1) as published, or 1 for each; see the class."""
        return (1.0, 5.0, 1.0, 1.0, 10.0, 10.0, 1.0) if self.scale == "quantile" else (1.0,) * JOINTS

    def data(self, split: Split) -> TensorData:
        """States (n, 21) and targets `torque1` … `torque7` (n,), float32."""
        check_split(split)
        learned, test = (self._rows(name) for name in ("sarcos_inv", "sarcos_inv_test"))
        held_out = round(len(learned) * _PUBLISHED[1] / _PUBLISHED[0])
        train = learned[held_out:]
        rows = {"train": train, "val": learned[:held_out], "test": test}[split]
        inputs, torques = rows[:, :INPUTS], rows[:, INPUTS:] / self._scale(train)
        if self.standardize:
            mean, deviation = train[:, :INPUTS].mean(axis=0), train[:, :INPUTS].std(axis=0)
            inputs = (inputs - mean) / deviation
        return self.samples(inputs, torques)

    def _rows(self, name: str) -> npt.NDArray[np.float64]:
        """The rows (n, 28) of one file."""
        from scipy.io import loadmat  # slow to import
        from scipy.io.matlab import MatReadError

        path = data_folder(self.root) / "sarcos" / f"{name}.mat"
        if not path.is_file():
            raise DataError(
                f"sarcos needs sarcos_inv.mat and sarcos_inv_test.mat in {path.parent}, but there is no {path.name}. "
                "Get them from http://gaussianprocess.org/gpml/data/, or name another folder with the option `root` or "
                "the environment variable MOFRAMEWORK_DATA: the one with the folder sarcos."
            )
        try:
            rows = loadmat(path, variable_names=[name]).get(name)
        except (
            MatReadError,
            ValueError,
            TypeError,
            IndexError,
            OSError,
            NotImplementedError,
        ) as error:  # what scipy raises for other files
            raise DataError(f"{path} is damaged, or no MATLAB file ({error}): delete it and get it again") from error
        if rows is None or rows.ndim != 2 or rows.shape[1] != INPUTS + JOINTS or len(rows) < 20:
            raise DataError(f"{path} is not SARCOS: it should hold `{name}` of (n, 28); delete it and get it again")
        if not np.isfinite(rows).all():
            raise DataError(f"{path} is not SARCOS: some of its numbers are not finite; delete it and get it again")
        return np.asarray(rows, dtype=np.float64)

    def _scale(self, train: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """What each torque is divided by (7,)."""
        torques = train[:, INPUTS:]
        scale = np.abs(np.quantile(torques if self.scale == "quantile" else np.abs(torques), _QUANTILE, axis=0))
        if not (scale > 0).all():
            raise DataError(f"the 0.9 quantile of torque{1 + int(np.argmin(scale))} is 0: the file is not SARCOS")
        return np.asarray(scale)
