"""Data that is read once for several runs: by a process before the processes that solve them are forked from it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from attrs import frozen

from moframework.config.structure import build
from moframework.data import SPLITS, Dataset, Split, TensorData
from moframework.data.fingerprint import contents
from moframework.errors import DataError
from moframework.io.sealed import read_sealed_yaml
from moframework.problem import Problem

__all__ = ["hold", "read_splits"]


@frozen
class _Held:
    problem: Problem
    data: Mapping[Split, Dataset]
    told: Sequence[warnings.WarningMessage]


_HELD: list[_Held] = []


def hold(spec: Path) -> None:
    """Read the data of the problem of an expanded spec, all splits of it, and hold it and its fingerprints.

    Nothing is imported because the spec names it. What loads its items when they are asked for is not held: files that
    it has open would have one position for all processes, and those that it opens may have changed since.

    Raises:
        SpecError, DataError: of the problem, or of its data, or this is not all in memory.
    """
    plain = yaml.safe_load(read_sealed_yaml(spec, advice=""))
    problem = build(Problem, plain["problem"], spec.parent)  # type: ignore[type-abstract]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        data = {split: problem.data(split) for split in SPLITS}
    for split, samples in data.items():
        if type(samples) is not TensorData:
            raise DataError(f"{split} is {type(samples).__name__}, not in memory")
        if samples.known_contents is None:
            samples.known_contents = contents(samples)
    _HELD.append(_Held(problem, data, told))


def read_splits(problem: Problem) -> dict[Split, Dataset]:
    """All splits of a problem's data: those that are held, where an equal problem's are, else read. What reading warned
    of is said again."""
    for held in _HELD:
        if held.problem == problem:
            for one in held.told:
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
            return dict(held.data)
    return {split: problem.data(split) for split in SPLITS}
