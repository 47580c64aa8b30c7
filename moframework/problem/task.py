"""Tasks: what is to be done well, each with a loss, metrics, the output it reads and the target it is held against."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor

from moframework.config import config, option
from moframework.config.options import WIDEST, OptionError
from moframework.losses import Loss
from moframework.metrics import Metric
from moframework.metrics.base import fed

if TYPE_CHECKING:
    import torchmetrics

__all__ = ["Task", "TaskOptions"]


@config
class Task:
    """One objective of a problem.

    Tasks may have an output each (classic multi-task learning) or share one (accuracy against fairness).

    Raises:
        OptionError: the name cannot be used, or two metrics have one label.

    >>> from moframework.losses import CrossEntropy
    >>> task = Task(name="left", loss=CrossEntropy(), size=10)
    >>> task.output_key, task.target_key
    ('left', 'left')
    """

    name: str = option(help="how preferences, results and specs call it")
    loss: Loss = option(help="what is minimized")
    metrics: tuple[Metric, ...] = option((), help="what else is reported")
    output: str | None = option(None, help="key of the network's output it reads; none: its name")
    target: str | None = option(None, help="key of the data's target; none: its name")
    size: int = option(1, ge=1, le=WIDEST, help="width of that output: classes, or 1 for a logit or a regressed value")
    mean: float = option(
        0.0, help="of a standardized target, the value in its own unit that 0 stands for; metrics such as mae use it"
    )
    deviation: float = option(1.0, gt=0, help="and what a difference of 1 is in its own unit")

    def __attrs_post_init__(self) -> None:
        for key, number in (("mean", self.mean), ("deviation", self.deviation)):
            if not math.isfinite(number):
                raise OptionError(f"{key} must be finite, but it is {number}", key)
        for key, value in (("name", self.name), ("output", self.output), ("target", self.target)):
            # results are called task/metric, and specs and parameters of networks are addressed with dots
            if value is not None and (not value or value != value.strip() or "/" in value or "." in value):
                raise OptionError(f"{key} must be text without dots, slashes or outer blanks, but it is '{value}'", key)
        labels = [metric.label for metric in self.metrics]
        for label in labels:
            if labels.count(label) > 1:
                raise OptionError(f"metrics of task '{self.name}' hold '{label}' twice", "metrics")

    @property
    def output_key(self) -> str:
        """Key of the network's output."""
        return self.name if self.output is None else self.output

    @property
    def target_key(self) -> str:
        """Key of the data's target."""
        return self.name if self.target is None else self.target

    @property
    def is_standardized(self) -> bool:
        """Whether targets and outputs are in another unit than the target's own."""
        return self.mean != 0 or self.deviation != 1

    def meter(self, metric: Metric) -> torchmetrics.Metric:
        """An accumulator of one of its metrics, for outputs and targets as the loss takes them: those in the target's
        unit see `x · deviation + mean`."""
        made = metric.make(self.size)
        if not (metric.in_units and self.is_standardized):
            return made

        def in_own_units(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
            return output.float() * self.deviation + self.mean, target * self.deviation + self.mean

        return fed(made, in_own_units)


@config
class TaskOptions:
    """What a spec says of a task; whatever it leaves out stays as the problem has it."""

    loss: Loss | None = option(None, help="what is minimized; a new task needs one")
    metrics: tuple[Metric, ...] | None = option(None, help="what else is reported")
    output: str | None = option(None, help="key of the network's output it reads; default: the task's name")
    target: str | None = option(None, help="key of the data's target; default: the task's name")
    size: int | None = option(
        None, ge=1, le=WIDEST, help="width of that output; default: that of another task that reads it, else 1"
    )
    mean: float | None = option(
        None, help="of a standardized target, the value in its own unit that 0 stands for; metrics such as mae use it"
    )
    deviation: float | None = option(None, gt=0, help="and what a difference of 1 is in its own unit")

    def applied(self, task: Task) -> Task:
        """`task` with everything that is stated here in place of its own."""
        return Task(
            name=task.name,
            loss=task.loss if self.loss is None else self.loss,
            metrics=task.metrics if self.metrics is None else self.metrics,
            output=task.output if self.output is None else self.output,
            target=task.target if self.target is None else self.target,
            size=task.size if self.size is None else self.size,
            mean=task.mean if self.mean is None else self.mean,
            deviation=task.deviation if self.deviation is None else self.deviation,
        )

    def task(self, name: str, default_size: int = 1) -> Task:
        """A new task from what is stated here.

        Raises:
            OptionError: no loss is stated.
        """
        if self.loss is None:
            raise OptionError(f"task '{name}' needs a loss", "loss")
        return self.applied(Task(name=name, loss=self.loss, size=default_size))
