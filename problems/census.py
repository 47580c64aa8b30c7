"""`census`: Census-Income (KDD), binary facts about a person told from the rest of the questionnaire."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.data import Split, TensorData
from moframework.losses import CrossEntropy
from moframework.metrics import Accuracy
from moframework.problem.task import Task

from .census_table import CensusTable

__all__ = ["Census"]

TaskName = Literal["income", "age", "education", "never_married"]

_COLUMN_OF: dict[str, str] = {
    "income": "income",
    "age": "age",
    "education": "education",
    "never_married": "marital_status",
}


@config
class Census(CensusTable):
    """Tell binary facts about a person (age, education, income, marital status) from 33 to 37 answers to a census.

    **Source.** Census-Income (KDD): 299,285 persons of the Current Population Surveys of 1994 and 1995 of the U.S.
    Census Bureau (T. Lane, R. Kohavi, UCI Machine Learning Repository, 2000, doi:10.24432/C5N30T). **License.**
    Creative Commons Attribution 4.0. **How to obtain.** `census-income.data` and `census-income.test` from
    https://archive.ics.uci.edu/dataset/117/census+income+kdd, put into `root/census`, plain or as .gz; the archive's
    own folders will do too.

    **Tasks.** Cross-entropy over two classes, and accuracy: `age` (40 or older), `education` (some college or more),
    `income` (above 50,000 dollars), `never_married`. The column that a task is made from leaves the input; those of
    tasks that are not chosen stay.

    **Construction**, as the authors of PaMaL have it: seven numbers are standardized, sex is one 0/1 input, everything
    else (codes of industry and occupation too) is one-hot; the year and three migration columns are left out, and so
    are the persons of one household status that the test file does not know. That makes 468 inputs for age and
    education, 477 for income and never married, 483 for income and age. A fifth of `census-income.data` validates,
    drawn by `seed`; `census-income.test` is the test. Two things differ from the authors' code: numbers are
    standardized by the training rows alone, and a master's degree counts as college, where a misspelling ("Maters")
    keeps theirs from counting it: `masters: false` does as they do.

    The documentation of the data says that the instance weight, the number of people a row stands for, should not be
    used by classifiers; the authors use it all the same. `instance_weight: false` leaves it out.

    **Network:** one shared hidden layer of 256, with 121,092 parameters for age and education.

    **Reference point** 1 for each task: guessing costs ln 2 = 0.69 nats.

    The encoded table (30 MB) is made once, in about 10 seconds, and cached: see `moframework.data.cache`.

    Income and age, as PaMaL has them::

        problem: {name: census, tasks: [income, age], masters: false}
        solver: pamal
    """

    # On the interface this name is the tasks themselves; here it says which.
    _tasks: tuple[TaskName, ...] = option(("age", "education"), help="what is told of a person, in this order")
    masters: bool = option(True, help="a master's degree counts as college; false: it does not, as in PaMaL's code")
    instance_weight: bool = option(True, help="the weight of a row in the survey is among the inputs")

    def __attrs_post_init__(self) -> None:
        if not self._tasks:
            raise OptionError("tasks must name at least one task", "tasks")
        for name in self._tasks:
            if self._tasks.count(name) > 1:
                raise OptionError(f"tasks names '{name}' twice", "tasks")

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The chosen ones."""
        return tuple(Task(name=name, loss=CrossEntropy(), metrics=(Accuracy(),), size=2) for name in self._tasks)

    @property
    def reference(self) -> tuple[float, ...]:
        """1 for each task."""
        return (1.0,) * len(self._tasks)

    def data(self, split: Split) -> TensorData:
        """Answers (n, width), float32, and each task's classes (n,), int64 in {0, 1}."""
        encoded = self.encoded(split)
        keys = {name: "college" if name == "education" and self.masters else name for name in self._tasks}
        targets: dict[str, Tensor] = {name: encoded[f"labels/{key}"].long() for name, key in keys.items()}
        return TensorData(self.inputs(encoded), targets)

    @property
    def hidden(self) -> tuple[str, ...]:
        """The columns that the tasks are made from, and the weight of a row unless it is an input."""
        return (*(_COLUMN_OF[name] for name in self._tasks), *(() if self.instance_weight else ("instance_weight",)))
