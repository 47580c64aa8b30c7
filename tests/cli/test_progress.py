from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from rich.console import Console

from moframework.cli.progress import ProgressBar, watching
from moframework.engine.events import Observer, Progress, Reading
from moframework.pareto.front import Front


def progress(step: int) -> Progress:
    return Progress(step=step, steps=100, epoch=step / 10, epochs=10)


def tell(observer: Observer, step: int) -> None:
    observer.logged(
        progress(step),
        Reading(
            losses={"left": 0.25, "right": 0.5},
            learning_rates={"main": 1e-3},
            preferences=np.array([[0.5, 0.5]]),
            seconds_per_step=0.01,
        ),
    )
    front = Front(
        tasks=("left", "right"),
        preferences=np.array([[1.0, 0.0], [0.0, 1.0]]),
        losses=np.array([[0.1, 0.8], [0.9, 0.2]]),
        metrics={},
        higher_is_better={},
        split="val",
        reference=(1.0, 1.0),
        metric_reference={},
    )
    observer.evaluated(progress(step), front, hypervolume=0.7123, is_best=True)


def terminal(text: io.StringIO) -> Console:
    return Console(file=text, force_terminal=True, width=100, color_system=None)


def test_bar_shows_epoch_losses_hypervolume_and_time_left() -> None:
    text = io.StringIO()
    with ProgressBar(terminal(text)) as bar:
        bar.started(progress(0))
        bar.stepped(progress(40))
        tell(bar, 50)
        bar.finished(progress(100))
    last = text.getvalue().rpartition("epoch")[2]
    assert last.startswith(" 10.0/10 ")
    assert "loss left 0.25, right 0.5" in last
    assert "hypervolume 0.7123" in last
    assert "left" in last


def test_resumed_bar_begins_where_training_does() -> None:
    text = io.StringIO()
    with ProgressBar(terminal(text)) as bar:
        bar.started(progress(70))
    assert "epoch 7.0/10" in text.getvalue()


def test_bar_stops_when_training_fails() -> None:
    before = set(threading.enumerate())

    def train() -> None:
        with ProgressBar(terminal(io.StringIO())) as bar:
            bar.started(progress(0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()
    for thread in set(threading.enumerate()) - before:  # the one that redraws
        thread.join(timeout=5)
        assert not thread.is_alive()


def test_bar_that_never_started_can_be_left() -> None:
    text = io.StringIO()
    with ProgressBar(terminal(text)):
        pass
    assert "epoch" not in text.getvalue()


def test_steps_are_cheap_to_show(monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[int] = []
    with ProgressBar(terminal(io.StringIO())) as bar:
        bar.started(progress(0))
        monkeypatch.setattr(bar, "_move", lambda progress: moved.append(progress.step))
        for step in range(100):
            bar.stepped(progress(step))
    assert moved[0] == 0
    assert len(moved) < 50, "not every step reaches the bar"


def test_plain_lines_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with watching(quiet=False) as (observer,):
        observer.started(progress(0))
        for step in range(1, 10):
            observer.stepped(progress(step))
        tell(observer, 10)
        observer.finished(progress(100))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "training: 100 steps, 10 epochs",
        "epoch 1.00/10 step 10/100: loss left 0.25, right 0.5; learning rate 0.001; 10 ms a step",
        "epoch 1.00/10 step 10/100: val hypervolume 0.7123 (best), 2 of 2 points non-dominated",
        "epoch 10.00/10 step 100/100: training finished",
    ]


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with watching(quiet=False) as (observer,):
        assert isinstance(observer, ProgressBar)


def test_quiet_shows_nothing() -> None:
    with watching(quiet=True) as observers:
        assert observers == ()
