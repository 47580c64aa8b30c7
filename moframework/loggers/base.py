"""The contract of a logger: options in a spec, from which one run's log is opened."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from attrs import frozen

from moframework.config import Component
from moframework.config.options import OptionError
from moframework.engine.events import Observer
from moframework.io.atomic import write_text
from moframework.model import ParetoModel
from moframework.pareto.front import Front

__all__ = ["Log", "LoggedRun", "Logger", "Results", "needs"]

_MEMORY = "loggers"


@frozen(kw_only=True)
class LoggedRun:
    """What a logger is told of a run before its training."""

    folder: Path
    """The run folder, which exists. A logger may write below it."""
    name: str
    tasks: tuple[str, ...]
    """In the order of the columns of preferences."""
    spec: Mapping[str, Any]
    """The expanded spec as plain data."""

    def remembered(self, name: str) -> str | None:
        """The line that `remember` wrote for a logger, when a process that worked on the same run wrote one."""
        path = self.folder / _MEMORY / name
        return path.read_text(encoding="utf-8").strip() or None if path.is_file() else None

    def remember(self, name: str, line: str) -> None:
        """Keep a line of text in the run folder, such as the id by which a tracker knows the run, so that a resumed
        run goes on under it."""
        path = self.folder / _MEMORY / name
        path.parent.mkdir(exist_ok=True)
        write_text(path, f"{line}\n")


@frozen(kw_only=True)
class Results:
    """What a logger is told of a finished run. Files of the run folder are written: `front.png`, `model/`, …"""

    fronts: Mapping[str, Front]
    """By split, `val` and `test`."""
    facts: Mapping[str, Any]
    """What the run's `status.json` will say: steps, seconds, parameters, hypervolumes."""
    model: ParetoModel


class Log(Observer):
    """One run as a logger writes it down: an `Observer` that is also told the results, and closed.

    Called in the order of `Observer`; then `ended` once the results are written; then `close`, whatever happens. Only
    the first of several processes has logs. An exception from any method is told once, and the run goes on without
    what this log was to be told; the next call comes no sooner than the log has cost a tenth of the time since. Then
    `started` is called again, where it has not succeeded before. So no method needs a `try` of its own.
    """

    def ended(self, results: Results) -> None:
        """The results are in the run folder. For the final numbers, pictures, and the model."""

    def close(self, error: BaseException | None = None) -> None:
        """Nothing more will be told. Called also where `started` was not.

        Args:
            error: what ended the run before its results; None where it is done.
        """


class Logger(Component, kind="loggers"):
    """Options of a logger, which a spec names under `log`: `log: [tensorboard, {name: mlflow, experiment: digits}]`.

    Registered under `moframework.loggers`; the built-in ones come in by the same door.

    >>> from moframework.config import config
    >>> from moframework.engine.events import Progress
    >>> class Line(Log):
    ...     def __init__(self, name):
    ...         self.name = name
    ...     def finished(self, progress):
    ...         print(f"{self.name}: {progress.step} steps")
    >>> @config
    ... class Printed(Logger):
    ...     "Prints a line when a training is done."
    ...     def log(self, run):
    ...         return Line(run.name)
    >>> run = LoggedRun(folder=Path("runs/digits"), name="digits", tasks=("left", "right"), spec={})
    >>> Printed().log(run).finished(Progress(step=100, steps=100, epoch=1.0, epochs=1.0))
    digits: 100 steps
    """

    def check(self) -> None:
        """Raise `OptionError` where it cannot be used on this machine; asked before training. A spec that names it can
        be read all the same."""

    @abstractmethod
    def log(self, run: LoggedRun) -> Log:
        """What writes this run down. Nothing is opened before `Log.started`."""


def needs(package: str, extra: str, what: str) -> None:
    """Raise `OptionError` with the install line where a package is not installed.

    Args:
        package: as it is imported.
        extra: of moframework, which brings it.
        what: needs it, for the message: `the logger mlflow`.
    """
    if find_spec(package) is None:
        raise OptionError(f"{what} needs {package}, which is not installed: pip install 'moframework[{extra}]'")
