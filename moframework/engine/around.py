"""A hook around another one: what it does after a step is its own, the rest is the other's."""

from __future__ import annotations

from typing import Any

from moframework.engine.loop import Hook, Loop

__all__ = ["Around"]


class Around(Hook):
    """Stands for `hook`, which a subclass calls in its `after_step`, or does not."""

    def __init__(self, hook: Hook) -> None:
        self.hook = hook

    def state(self) -> dict[str, Any]:
        return self.hook.state()

    def load(self, loop: Loop, state: dict[str, Any]) -> None:
        self.hook.load(loop, state)

    def finished(self, loop: Loop) -> None:
        self.hook.finished(loop)
