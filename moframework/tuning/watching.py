"""`Watcher`: told of a study while it runs."""

from __future__ import annotations

from moframework.tuning.spec import Study
from moframework.tuning.trial import Trial

__all__ = ["Watcher"]


class Watcher:
    """Is told what happens, and does nothing with it: override what is of interest."""

    def planned(self, study: Study, begun: int) -> None:
        """A study begins, or goes on: so many trials have begun before."""

    def started(self, study: Study, trial: Trial) -> None:
        """A trial begins, or goes on."""

    def ended(self, study: Study, trial: Trial) -> None:
        """A trial ended; its state and message say how."""
