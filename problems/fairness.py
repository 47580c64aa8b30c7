"""`fairness`: income told from a census questionnaire, against how differently women and men are decided on."""

from __future__ import annotations

from typing import Literal

import torch

from moframework.config import config, option
from moframework.data import Split, TensorData
from moframework.losses import CrossEntropy, GroupGap
from moframework.metrics import Accuracy
from moframework.metrics import GroupGap as DecisionGap
from moframework.problem.task import Task

from .census_table import CensusTable

__all__ = ["Fairness"]

_IGNORED = GroupGap().ignore_index


@config
class Fairness(CensusTable):
    """Tell who earns above 50,000 dollars, and treat women and men alike: two objectives on one output.

    **Source, license, how to obtain.** Those of `census`, whose files, splits, inputs and network these
    are: 483 inputs, or 484 with sex.

    **Tasks.** `income`: cross-entropy over two classes; accuracy. The other is named after the gap chosen and reads the
    same output: `demographic_parity`, the difference between women and men in the mean chance of a high income, or
    `equal_opportunity`, that difference among those who do have one. Both losses are differentiable in the chances;
    the metric `gap` is the difference in decisions.

    6.2 % of the persons have a high income, of men 10 %, of women 2.5 %. A constant answer has no gap, is 93.8 %
    accurate and costs 0.23 nats.

    Sex is no input unless `sex_is_input` says so: where a decision must not depend on it the network cannot be told,
    and what remains of the gap comes by way of other answers (household, occupation). Told, it can even out the gap at
    a smaller loss of accuracy, by holding each group to a bar of its own.

    The gap of a batch is noisy, so batches should be large and seen whole by each preference: `batch_size: 2048`,
    `batch: shared`; see the loss `group_gap`. With `equal_opportunity` only one person in sixteen counts.

    **Reference point** (0.25, 0.15): a little more than a constant answer costs, and than the gap of a network that is
    trained for accuracy alone.

    With batches that are large enough for the gap::

        problem: {name: fairness, gap: equal_opportunity}
        solver: {name: pamal, preferences: {name: dirichlet, per_batch: 2, batch: shared}}
        training: {batch_size: 2048}
    """

    gap: Literal["demographic_parity", "equal_opportunity"] = option(
        "demographic_parity", help="among whom women and men should be treated alike: all, or those with a high income"
    )
    sex_is_input: bool = option(False, help="the network is told the person's sex")

    @property
    def tasks(self) -> tuple[Task, ...]:
        """`income`, and the gap on the same output."""
        income = Task(name="income", loss=CrossEntropy(), metrics=(Accuracy(),), size=2)
        gap = Task(name=self.gap, loss=GroupGap(), metrics=(DecisionGap(),), output="income", target="group", size=2)
        return income, gap

    @property
    def reference(self) -> tuple[float, ...]:
        """(0.25, 0.15)."""
        return (0.25, 0.15)

    def data(self, split: Split) -> TensorData:
        """Answers (n, width), float32; `income` (n,), 1 above 50,000 dollars; `group` (n,), 1 for men, 0 for women,
        −100 for who does not count. Integers int64."""
        encoded = self.encoded(split)
        income, group = encoded["labels/income"].long(), encoded["sex"].long()
        if self.gap == "equal_opportunity":
            group = torch.where(income == 1, group, torch.full_like(group, _IGNORED))
        return TensorData(self.inputs(encoded), {"income": income, "group": group})

    @property
    def hidden(self) -> tuple[str, ...]:
        """Income, and sex unless it is an input."""
        return ("income",) if self.sex_is_input else ("income", "sex")
