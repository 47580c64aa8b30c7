"""What a model of a problem needs to answer raw data."""

from __future__ import annotations

from moframework.inputs import InputForm
from moframework.losses import BinaryCrossEntropy
from moframework.losses.between_groups import BetweenGroups
from moframework.predicting import Answer, Preparation
from moframework.predicting.answers import AnswerKind
from moframework.problem.base import Problem
from moframework.problem.task import Task

__all__ = ["preparation_of"]


def preparation_of(problem: Problem) -> Preparation:
    """How raw data becomes inputs of a problem's model, and what its outputs stand for.

    `solve` gives it to the model, which is saved with it. Use it yourself for a model that was made or saved without::

        model = ParetoModel.load("run/model")
        model.preparation = preparation_of(problem)
        model.save("run/model")

    Args:
        problem: its data must be there, and be what the model was trained on.

    Returns:
        an answer for each output that tasks read, by the first task that reads it and does not compare groups; without
        a reader where the problem has none, or one for other inputs than its own.

    Raises:
        DataError: the data is missing.
    """
    reader, names = problem.reader, problem.class_names
    if reader is not None and InputForm.of(reader.input_shape) != InputForm.of(problem.input_shape):
        reader = None
    answering: dict[str, Task] = {}
    for task in sorted(problem.tasks, key=lambda task: isinstance(task.loss, BetweenGroups)):
        answering.setdefault(task.output_key, task)
    chosen = {task.name for task in answering.values()}
    answers = (_answer(task, names.get(task.target_key, ())) for task in problem.tasks if task.name in chosen)
    return Preparation(answers=tuple(answers), reader=reader)


def _answer(task: Task, categories: tuple[str, ...]) -> Answer:
    kind = _kind(task)
    if kind == "numbers":
        return Answer(task=task.name, output=task.output_key, kind=kind, mean=task.mean, deviation=task.deviation)
    count = task.size if kind == "classes" else 2 if task.size == 1 else 0
    named = categories if len(categories) == count else ()  # another loss may have given the output another width
    return Answer(task=task.name, output=task.output_key, kind=kind, categories=named)


def _kind(task: Task) -> AnswerKind:
    """What outputs are, by the loss and metrics that take them."""
    logits = task.loss.expects_logits or any(metric.expects_logits for metric in task.metrics)
    if not logits:
        return "numbers"
    return "binary" if task.size == 1 or isinstance(task.loss, BinaryCrossEntropy) else "classes"
