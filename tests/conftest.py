"""What all tests share: warm commands, and that runs which are not about pictures draw none.

A run draws its front two times and more, with a layout each, which was up to half of the time of the runs in tests.
Tests of pictures, and all commands that are processes of their own, draw as ever.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.warm import warm_python

DRAWING = ("tests.loggers.", "tests.pareto.", "tests.report.", "tests.testing.", "tests.cli.", "tests.run.test_run")
"""Modules, and packages, whose tests look at pictures that runs draw."""


@pytest.fixture(scope="module", autouse=True)
def _pictures(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.module.__name__.startswith(DRAWING):
        yield
        return
    from matplotlib.figure import Figure

    empty = np.zeros((2, 2, 3), dtype=np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("moframework.loggers.tensorboard.picture", lambda *_: empty)
        patch.setattr("moframework.run.solving.front_figure", lambda _: Figure(figsize=(0.1, 0.1)))
        yield


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The words that begin a command `python …` with its imports done; see `tests.warm`."""
    with warm_python(tmp_path_factory.mktemp("warm")) as words:
        yield words
