"""Targets of which little is to be learned: those that do not vary, and those that one sample flattens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from moframework.data import Dataset, where
from moframework.problem.task import Task

__all__ = ["target_notes"]

# The standard deviation with and without the sample farthest out: of 1,000 normal or exponential numbers it is less
# than 1.1 times as much, and of heavy tails (Pareto, α = 2) seldom 3 times.
_FLATTENED = 10.0
_FEWEST = 5  # samples of which one can be said to be far from the others


def target_notes(tasks: Sequence[Task], data: Dataset) -> list[str]:
    """What to tell of the targets that training reads, a sentence for each that tells little.

    Args:
        tasks: of the problem.
        data: the training split; one without `targets` in memory, by key, is not looked at.

    Returns:
        a sentence for each task whose target is the same in all samples (unless the inputs are too, as those of
        analytic problems), or, where it is a number a sample, has one so
        far from all others that without it the standard deviation were a tenth. Numbers that are not finite are left
        out of account.

    >>> from moframework.data import TensorData
    >>> from moframework.losses import MSE
    >>> data = TensorData(torch.zeros(6, 1), {"y": torch.tensor([1.0, 2.0, 3.0, 2.0, 1.0, 9e5])})
    >>> print(target_notes([Task(name="y", loss=MSE())], data)[0][:62])
    target 'y' is 900000 in sample 5 (counted from 0), far from al
    """
    targets = getattr(data, "targets", None)
    if not isinstance(targets, Mapping):
        return []
    notes = []
    for key in dict.fromkeys(task.target_key for task in tasks):
        values = targets.get(key)
        if isinstance(values, Tensor) and values.dim() and len(values) > 1:
            found = _note(values, _labeled(tasks, key, values), data)
            notes += [f"target '{key}' {found}"] if found else []
    return notes


def _inputs_are_constant(data: Dataset) -> bool:
    inputs = getattr(data, "inputs", None)
    return isinstance(inputs, Tensor) and bool((inputs == inputs[:1]).all())


def _labeled(tasks: Sequence[Task], key: str, values: Tensor) -> Tensor:
    """The samples with a label that the first task that reads a target knows, (k,)."""
    known = next(task.loss for task in tasks if task.target_key == key).known(values)
    return known.reshape(len(known), -1).any(dim=1).nonzero().flatten()


def _note(values: Tensor, labeled: Tensor, data: Dataset) -> str | None:
    """What to tell of one target (n, ...), known in the samples `labeled`."""
    single, some = values[0].numel() == 1, len(labeled) < len(values)
    if len(labeled) < 2:
        return None
    flat = (values[labeled] if some else values).reshape(len(labeled), -1)
    if bool((flat == flat[0, 0]).all()):
        if _inputs_are_constant(data):
            return None
        where_known = " that have it" if some else ""
        return f"is {float(flat[0, 0]):g} in all training samples{where_known}: there is nothing to learn"
    if not single or not values.is_floating_point():
        return None
    numbers = flat[:, 0].double().cpu()
    known = numbers.isfinite().nonzero().flatten()
    if len(known) < _FEWEST:
        return None
    numbers = numbers[known]
    far = int((numbers - numbers.median()).abs().argmax())
    rest = torch.cat([numbers[:far], numbers[far + 1 :]])
    whole, without = float(numbers.std(correction=0)), float(rest.std(correction=0))
    if whole < _FLATTENED * without:
        return None
    row = int(labeled[known[far]])
    place = where(data, row) or f"sample {row} (counted from 0)"
    return (
        f"is {float(numbers[far]):g} in {place}, far from all others: without it the standard deviation is "
        f"{without:.3g} rather than {whole:.3g}, so the loss hardly tells the others apart; correct it, leave the row "
        "out, or learn a logarithm"
    )
