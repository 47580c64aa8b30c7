"""The data source `problem`: the data of a problem, such as a table or a folder of images, for tasks of one's own."""

from __future__ import annotations

from moframework.config import config, option
from moframework.data import Dataset, DataSource, Split
from moframework.inputs.form import InputShape
from moframework.problem.base import Problem

__all__ = ["ProblemData"]


@config
class ProblemData(DataSource):
    """Inputs and targets of a problem; its tasks, network and augmentations are left aside.

    ::

        data:
          price: {name: problem, of: {name: csv, path: houses.csv, targets: {price: regression}}}
          rent: {name: problem, of: {name: csv, path: flats.csv, targets: {rent: regression}}}
    """

    of: Problem = option(help="the problem")

    def split(self, name: Split) -> Dataset:
        """As the problem has it."""
        return self.of.data(name)

    @property
    def input_shape(self) -> InputShape:
        """As the problem has it."""
        return self.of.input_shape

    @property
    def notes(self) -> tuple[str, ...]:
        """As the problem has them."""
        return self.of.notes
