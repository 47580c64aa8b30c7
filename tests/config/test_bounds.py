"""Every option that says how many or how large has an upper bound, or stands here with the reason why it needs none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest

from moframework.benchmark.spec import Benchmark, Tuning
from moframework.config import registry
from moframework.config.fields import Option, options_of
from moframework.config.words import union_members
from moframework.engine.settings import EarlyStopping, Evaluation, Training
from moframework.errors import MoframeworkError
from moframework.problem.task import Task, TaskOptions
from moframework.spec import Spec

HARMLESS = {
    "seed": "of a generator, which takes any number of 64 bits",
    "seeds": "as seed; how many there are is bounded by the benchmark's number of runs",
    "epochs": "of a training, which ends when it is told to; nothing is made for them ahead",
    "steps": "as epochs",
    "batch_size": "never more than there are samples",
    "calibration_samples": "never more than there are samples",
    "validation": "must be less than there are images",
    "every": "a comparison of counts",
    "log_every": "a comparison of counts",
    "checkpoint_every": "a comparison of counts",
    "patience": "a comparison of counts",
    "search_epochs": "a comparison of counts",
    "max_iters": "of a solver that ends by itself when it has converged",
    "ignore_index": "a value that is compared with",
}


def integers() -> Iterator[tuple[type, Option]]:
    """Every option of whole numbers, of sections and of all that is registered here."""
    classes: list[Any] = [Spec, Training, Evaluation, EarlyStopping, Task, TaskOptions, Benchmark, Tuning]
    for kind in registry.kinds():
        for entry in registry.entries(kind):
            try:
                classes.append(entry.load())
            except MoframeworkError:  # its extra is not installed
                continue
    for cls in classes:
        if not hasattr(cls, "__attrs_attrs__") or not cls.__module__.startswith("moframework"):
            continue
        for option in options_of(cls):
            members = union_members(option.type) or (option.type,)
            if any(member is int or int in get_args(member) for member in members):
                yield cls, option


def test_there_are_as_many_as_were_looked_at() -> None:
    assert len(list(integers())) > 100


@pytest.mark.parametrize("name", HARMLESS)
def test_every_exception_is_one(name: str) -> None:
    assert any(option.key == name for _, option in integers()), f"no option is called {name} any more"


def test_sizes_are_bounded() -> None:
    free = [
        f"{cls.__module__}.{cls.__name__}.{option.key}"
        for cls, option in integers()
        if not option.field.metadata.get("bounds", {}).keys() & {"lt", "le"} and option.key not in HARMLESS
    ]
    assert not free, f"give these an upper bound (`le=`), or say in HARMLESS why they need none: {free}"
