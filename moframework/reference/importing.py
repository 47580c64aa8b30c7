"""Names of the code as objects."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["BESIDE", "PUBLIC", "attribute", "home", "public"]

PUBLIC: tuple[str, ...] = tuple(importlib.import_module("moframework").__all__)
"""The public names of the package, sorted."""


BESIDE: dict[str, str] = {
    "config": "moframework.config",
    "option": "moframework.config",
    **dict.fromkeys(importlib.import_module("moframework.testing").__all__, "moframework.testing"),
    "Analysis": "moframework.benchmark.statistics.found",
    "BoxFunction": "moframework.problem.box_function",
    "CellResult": "moframework.benchmark.results",
    "Evaluations": "moframework.blackbox.evaluations",
    "Exported": "moframework.export.exporting",
    "Group": "moframework.benchmark.results",
    "Hypervolume": "moframework.pareto.front",
    "InputForm": "moframework.inputs.form",
    "Job": "moframework.benchmark.executor",
    "Log": "moframework.loggers.base",
    "OnePass": "moframework.model.one_pass",
    "Outcome": "moframework.benchmark.executor",
    "Pick": "moframework.run.picking",
    "Predictions": "moframework.predicting.predictions",
    "Prepared": "moframework.backbones.base",
    "Reader": "moframework.predicting.reader",
    "Results": "moframework.benchmark.results",
    "Row": "moframework.benchmark.results",
    "Search": "moframework.blackbox.base",
    "Start": "moframework.engine.method",
    "Statistic": "moframework.benchmark.results",
    "Trained": "moframework.run.evaluating",
}
"""What is imported from elsewhere, with its module: what plug-ins and their tests need, what public names return."""


def home(name: str) -> str:
    """The module that a public name, or one of `BESIDE`, is imported from.

    >>> home("Front"), home("Pick")
    ('moframework', 'moframework.run.picking')
    """
    return BESIDE.get(name, "moframework")


def public(name: str) -> Any:
    """What a public name of the package, or one of `BESIDE`, means.

    >>> public("SpecError").__module__
    'moframework.errors'
    """
    return getattr(importlib.import_module(home(name)), name)


def attribute(target: str) -> Any:
    """What `module:name` means.

    >>> attribute("moframework.errors:SpecError").__name__
    'SpecError'
    """
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
