"""What watches a run: its text log, the loggers of its spec, and observers of the caller."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from moframework.config import unstructure
from moframework.config.references import references
from moframework.engine.events import Observer, Observers
from moframework.loggers import Log, LoggedRun, Logger, Results
from moframework.loggers.guarded import Guarded
from moframework.processes.world import World
from moframework.run.logs import TextLog
from moframework.run.plan import Plan
from moframework.run.run import LOG

__all__ = ["Watch", "watched"]


class Watch(Observers):
    """All that watch a run, as one observer; loggers among them are told the results too."""

    def __init__(self, observers: tuple[Observer, ...] = (), logs: tuple[Log, ...] = ()) -> None:
        super().__init__((*observers, *logs))
        self._logs = logs

    def ended(self, results: Results) -> None:
        """The results are written."""
        for log in self._logs:
            log.ended(results)


@contextlib.contextmanager
def watched(ready: Plan, folder: Path, observers: Sequence[Observer], world: World) -> Iterator[Watch]:
    """What watches a run: in the first process logs and `observers`, nothing in the others. Logs are closed at the end,
    with the error that leaves this context, if any."""
    if not world.is_rank_zero:
        yield Watch()
        return
    text = TextLog(folder / LOG)
    for reference in references(unstructure(ready.spec)):
        text.append(f"code of your own: {reference}")
    for note in ready.notes():
        text.append(note)
    others = (text, *observers)
    logs = _logs(ready, folder, Observers(others))
    try:
        yield Watch(others, logs)
    except BaseException as error:
        for log in logs:
            log.close(error)
        raise
    for log in logs:
        log.close()


def _logs(ready: Plan, folder: Path, others: Observer) -> tuple[Log, ...]:
    """What the loggers of the spec open, guarded; `others` are told where one fails."""
    spec = ready.spec
    run = LoggedRun(
        folder=folder,
        name=spec.name or folder.name,
        tasks=tuple(task.name for task in spec.problem.tasks),
        spec=unstructure(spec),
    )
    return tuple(Guarded(_name(logger), logger.log(run), others.noted) for logger in spec.loggers)


def _name(logger: Logger) -> str:
    """The name of a registered logger, or the class of another."""
    name = unstructure(logger).get("name")
    return name if isinstance(name, str) else type(logger).__name__
