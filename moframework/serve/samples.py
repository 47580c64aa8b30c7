"""`Samples`: some samples of the problem's own test split, which the page shows and requests can name."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen
from torch import Tensor

from moframework.data import batches
from moframework.data.ordering import sample_rows
from moframework.inputs import Tree
from moframework.inputs.trees import count_samples, named_leaves, select_samples
from moframework.predicting import Preparation
from moframework.problem import Problem

__all__ = ["Samples"]

_SHOWN = 20_000  # numbers of a sample that the page gets


@frozen(eq=False)
class Samples:
    """Samples of a test split, or none.

    Attributes:
        inputs: of n samples, on the host; None where there are none.
        targets: what is true of each, by task: texts and numbers.
        why: why there are none, a sentence, or empty.
    """

    inputs: Tree = None
    targets: tuple[Mapping[str, Any], ...] = field(default=())
    why: str = ""

    def __len__(self) -> int:
        return 0 if self.inputs is None else count_samples(self.inputs)

    @classmethod
    def of(cls, problem: Problem, count: int, preparation: Preparation) -> Samples:
        """The first samples of the test split, at most `count`. Raises `DataError` where the data is missing."""
        data = problem.data("test")
        inputs, targets = next(iter(batches(data, count, order=sample_rows(data, count), device="cpu")))
        truths: dict[str, list[Any]] = {}
        answers = {answer.task: answer for answer in preparation.answers}
        for task in problem.tasks:
            answer, target = answers.get(task.name), targets.get(task.target_key)
            if answer is not None and target is not None and target.dim() == 1:
                told = target * answer.deviation + answer.mean if answer.kind == "numbers" else target.long()
                truths[task.name] = [_told(value, answer.categories) for value in told.tolist()]
        rows = tuple({name: values[i] for name, values in truths.items()} for i in range(count_samples(inputs)))
        return cls(inputs, rows)

    def as_plain(self) -> list[dict[str, Any]]:
        """The samples for the page: what is true of each, and its numbers by path where they are not too many.

        Args:
            form: of the inputs.
        """
        plain = []
        for i in range(len(self)):
            leaves = named_leaves(select_samples(self.inputs, slice(i, i + 1)))
            shown = {path: _listed(leaf[0]) for path, leaf in leaves.items() if leaf[0].numel() <= _SHOWN}
            shapes = {path: list(leaf.shape[1:]) for path, leaf in leaves.items()}
            plain.append({"sample": i, "targets": self.targets[i], "inputs": shown, "shapes": shapes})
        return plain


def _listed(leaf: Tensor) -> list[Any]:
    """The numbers of a tensor in one row, to four digits where they are fractions."""
    flat = leaf.flatten()
    return [round(number, 4) for number in flat.tolist()] if flat.is_floating_point() else flat.tolist()


def _told(value: Any, categories: tuple[str, ...]) -> Any:
    if isinstance(value, float) and value != value:
        return None
    with contextlib.suppress(IndexError, TypeError):
        return categories[value] if categories and value >= 0 else value
    return value
