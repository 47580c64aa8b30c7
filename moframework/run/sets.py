"""What people are told of data that is several sets: how batches and epochs are composed, and what that means."""

from __future__ import annotations

from collections.abc import Mapping

from torch.nn.modules.batchnorm import _BatchNorm

from moframework.config import unstructure
from moframework.data import Dataset, Split
from moframework.data.composition import SetEpochs
from moframework.engine.method import Method
from moframework.model import ParetoModel
from moframework.objectives.linear import Linear

__all__ = ["batch_notes", "set_lines"]


def set_lines(data: Mapping[Split, Dataset], batch_size: int) -> list[str]:
    """How many samples each set has in each split, how a batch is composed, and what an epoch is; nothing where the
    data is one set."""
    sizes = {split: epochs.sizes for split, part in data.items() if (epochs := _epochs(part)) is not None}
    train = _epochs(data["train"])
    if train is None:
        return []
    lines = [
        f"{name}: " + ", ".join(f"{split} {known[name]:,}" for split, known in sizes.items()) for name in train.sizes
    ]
    return [*lines, *train.describe(batch_size)]


def batch_notes(data: Dataset, batch_size: int, method: Method, model: ParetoModel) -> list[str]:
    """What is worth knowing of how batches of the training `data`, the method and the network go together, a sentence
    each."""
    epochs = _epochs(data)
    if epochs is None or len(epochs.sizes) == 1:
        return []
    if epochs.batches.by == "turn":
        return _turn_notes(method, model)
    m = len(model.tasks)
    count = method.preferences.count(m) if method.preferences.batch == "split" else 1
    slots = epochs.slots(batch_size)
    total = sum(slots.values())
    part = min(batch_size, total) // count
    return [
        f"a preference sees {part} samples of a step, and in some steps none of set '{name}'; raise "
        "training.batch_size, or lower solver.preferences.per_batch"
        for name, slot in slots.items()
        if part * slot < total
    ]


def _turn_notes(method: Method, model: ParetoModel) -> list[str]:
    """Of batches of one set each."""
    notes = []
    if not isinstance(method.objective, Linear):
        written = unstructure(method.objective)
        notes.append(
            "problem.batches: with by: turn a step sees the tasks of one set alone, so the objective "
            f"{written.get('name', '')} has no others to weigh them against; by: ratio gives it all of them"
        )
    if any(isinstance(module, _BatchNorm) for module in model.skeleton.modules()):
        notes.append(
            "problem.batches: with by: turn the network's BatchNorm layers are trained on the statistics of one set at "
            "a time, but evaluated with those of all; by: ratio trains them on all too"
        )
    return notes


def _epochs(data: Dataset) -> SetEpochs | None:
    found = getattr(data, "epochs", None)
    return found if isinstance(found, SetEpochs) else None
