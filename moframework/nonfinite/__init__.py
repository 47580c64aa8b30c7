"""What is done where numbers of a training are not finite: training stops and tells why, or the step is skipped."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from moframework.engine.hooks import Entry, LossLog
from moframework.engine.job import OnNonFinite
from moframework.engine.loop import Hook, Loop
from moframework.engine.milestones import Averaging
from moframework.engine.settings import Training
from moframework.errors import NonFiniteLossError
from moframework.nonfinite.cause import raise_for_losses, weight_fault
from moframework.nonfinite.skipping import Skipping, UnlessSkipped, finite_steps

__all__ = ["SkipStep", "StopTraining", "on_nonfinite"]


class StopTraining(OnNonFinite):
    """`training.on_nonfinite: stop`: an error tells step, task, preference and the reason."""

    def hooks(self, loop: Loop, hooks: list[Hook]) -> list[Hook]:
        return hooks

    def losses(self, loop: Loop, entries: Sequence[Entry], losses: Tensor) -> Tensor:
        raise_for_losses(loop, entries, losses)

    def weights(self, loop: Loop) -> NonFiniteLossError:
        return weight_fault(loop)


class SkipStep(StopTraining):
    """`training.on_nonfinite: skip`: the step changes nothing, and is counted; see `Skipping`."""

    def hooks(self, loop: Loop, hooks: list[Hook]) -> list[Hook]:
        """`Skipping` comes after `Stop`, which says whether steps end here, and before what only sees steps taken."""
        skipping = Skipping(loop)
        first = next(i for i, hook in enumerate(hooks) if isinstance(hook, Averaging | LossLog))
        rest = [UnlessSkipped(hook, skipping) if isinstance(hook, Averaging) else hook for hook in hooks[first:]]
        return [*hooks[:first], skipping, *rest]

    def losses(self, loop: Loop, entries: Sequence[Entry], losses: Tensor) -> Tensor:
        return finite_steps(losses)


def on_nonfinite(training: Training) -> OnNonFinite:
    """What the options of a training ask for."""
    return SkipStep() if training.on_nonfinite == "skip" else StopTraining()
