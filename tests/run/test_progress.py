from __future__ import annotations

import io
import sys
import threading
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from moframework import solve
from moframework.engine.events import Observer, Progress, Reading
from moframework.pareto.front import Front
from moframework.run.progress import NotebookBar, ProgressBar, in_notebook, watching


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


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What a notebook was told to show in one place, one after the other; no IPython is needed for it."""
    told: list[dict[str, str]] = []

    class Handle:
        def update(self, data: dict[str, str], *, raw: bool) -> None:
            assert raw
            told.append(data)

    def display(data: dict[str, str], *, raw: bool, display_id: bool) -> Handle:
        assert not told, "one bar is replaced, rather than shown again"
        assert display_id
        told.append(data)
        return Handle()

    package, module = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    shell = types.SimpleNamespace(kernel=object())
    package.get_ipython = lambda: shell  # type: ignore[attr-defined]
    module.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return told


def test_a_bar_in_a_notebook(shown: list[dict[str, str]]) -> None:
    assert in_notebook()
    with watching(quiet=False) as (bar,):
        assert isinstance(bar, NotebookBar)
        bar.started(progress(0))
        for step in range(1, 60):
            bar.stepped(progress(step))
        tell(bar, 60)
        bar.finished(progress(100))
    assert len(shown) < 20, "not every step reaches the notebook"
    assert shown[-1]["text/plain"].startswith("epoch 10.0/10 · loss left 0.25, right 0.5 · hypervolume 0.7123 · 0:0")
    assert '<progress value="100" max="100"' in shown[-1]["text/html"]


def test_hostile_names_are_escaped_in_a_notebook(shown: list[dict[str, str]]) -> None:
    reading = Reading(
        losses={"<script>alert(1)</script>": 1.0}, learning_rates={}, preferences=np.ones((1, 1)), seconds_per_step=0.1
    )
    bar = NotebookBar()
    bar.started(progress(0))
    bar.logged(progress(10), reading)
    bar.finished(progress(10))
    assert "<script>" not in shown[-1]["text/html"]
    assert "&lt;script&gt;" in shown[-1]["text/html"]


def test_a_bar_in_a_notebook_says_that_training_was_stopped(shown: list[dict[str, str]]) -> None:
    def train() -> None:
        with NotebookBar() as bar:
            bar.started(progress(30))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()
    assert shown[-1]["text/plain"] == "epoch 3.0/10 · stopped"
    with NotebookBar():
        pass  # never started


def test_a_terminal_of_ipython_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    package: Any = types.ModuleType("IPython")
    package.get_ipython = lambda: types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "IPython", package)
    assert not in_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not in_notebook()


@pytest.mark.parametrize("asked", [False, True])
def test_solve_shows_progress_where_it_is_asked_to(
    asked: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = {"problem": "zdt1", "solver": {"name": "multipoint", "points": 2}, "training": {"steps": 2}}
    solve({**spec, "evaluate": {"every": 0}, "log": []}, tmp_path / "run", progress=asked)
    told = capfd.readouterr()
    assert told.out == ""
    assert ("training: 2 steps" in told.err) is asked
    assert bool(told.err) is asked
