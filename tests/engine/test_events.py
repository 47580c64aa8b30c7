"""Several observers are told what one is told."""

from __future__ import annotations

from typing import Any

import pytest

from moframework.engine.events import Observer, Observers

EVENTS = [name for name in vars(Observer) if not name.startswith("_") and name != "listens"]


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_reaches_each_of_them_in_order(event: str) -> None:
    told: list[Any] = []
    first, second = Observer(), Observer()
    for number, observer in enumerate((first, second)):
        setattr(observer, event, lambda *given, number=number, **named: told.append((number, given, named)))
    getattr(Observers((first, second)), event)("progress", is_best=True)
    assert told == [(number, ("progress",), {"is_best": True}) for number in (0, 1)]


def test_they_listen_where_one_of_them_does() -> None:
    class Counter(Observer):
        def stepped(self, progress: Any) -> None: ...

    assert len(EVENTS) >= 7
    assert Observers((Observer(), Counter())).listens("stepped")
    assert not Observers((Observer(), Counter())).listens("saved")
