from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from moframework.cli.tables import front_table, output, print_front, print_run, table
from moframework.pareto.front import Front


def make_front(m: int, n: int, metrics: tuple[str, ...] = ("accuracy",)) -> Front:
    """Random points of m tasks; the same for the same sizes."""
    generator = np.random.default_rng(m * n)
    tasks = tuple(f"task{index}" for index in range(m))
    names = [f"{task}/{metric}" for task in tasks for metric in metrics]
    return Front(
        tasks=tasks,
        preferences=generator.dirichlet(np.ones(m), n),
        losses=generator.random((n, m)),
        metrics={name: generator.random(n) for name in names},
        higher_is_better={name: not name.endswith("mae") for name in names},
        split="test",
        reference=(1.0,) * m,
        metric_reference={name: 0.0 for name in names if name.endswith("accuracy")},
    )


@pytest.fixture
def text() -> io.StringIO:
    return io.StringIO()


def console(text: io.StringIO, width: int = 1000) -> Console:
    return Console(file=text, width=width, highlight=False, markup=False)


def test_every_point_with_its_numbers(text: io.StringIO) -> None:
    front = make_front(2, 5)
    print_front(console(text), front, short=False)
    said = text.getvalue()
    for values in (front.losses, front.metrics["task0/accuracy"], front.metrics["task1/accuracy"]):
        assert all(f"{value:.4f}" in said for value in values.ravel())
    assert all(f"{value:.2f}" in said for value in front.preferences.ravel())
    kept = int(front.nondominated().sum())
    assert said.count(" yes") == kept
    assert said.count(" no ") == 5 - kept
    assert f"{kept} of 5 points are non-dominated\n" in said
    for name in ("losses", "accuracy"):
        found = front.hypervolumes()[name]
        assert f"hypervolume of {name}: {found['value']:.4f} (reference (" in said
        assert found["convention"] in said


def test_short_table_picks_points_evenly_and_says_so(text: io.StringIO) -> None:
    front = make_front(3, 66)
    print_front(console(text), front, short=True)
    said = text.getvalue()
    assert said.count(" yes") + said.count(" no ") == 11
    assert "of 66 points are non-dominated; 11 are shown" in said
    for point in (0, 65):
        assert f"{front.losses[point, 0]:.4f}" in said


@pytest.mark.parametrize("n", [1, 11])
def test_short_table_of_few_points_is_whole(text: io.StringIO, n: int) -> None:
    print_front(console(text), make_front(2, n), short=True)
    assert "shown" not in text.getvalue()
    assert text.getvalue().count(" yes") + text.getvalue().count(" no ") == n


@pytest.mark.parametrize(
    ("m", "metrics", "width", "has_loss", "has_metric"),
    [(3, ("accuracy",), 160, True, True), (3, ("accuracy",), 80, True, False), (12, ("accuracy",), 200, False, True)],
)
def test_columns_that_do_not_fit_are_left_out(
    text: io.StringIO, m: int, metrics: tuple[str, ...], width: int, has_loss: bool, has_metric: bool
) -> None:
    screen = console(text, width)
    screen.print(front_table(screen, make_front(m, 4, metrics), range(4)))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert ("λ" in text.getvalue()) == has_loss
    assert ("accuracy" in text.getvalue()) == has_metric
    assert "task" + str(m - 1) in text.getvalue(), "nothing is cut"


def test_table_of_tasks_knows_which_direction_is_better(text: io.StringIO) -> None:
    front = make_front(20, 3, ("accuracy", "mae"))
    screen = console(text)
    screen.print(front_table(screen, front, range(3)))
    line = next(line for line in text.getvalue().splitlines() if "task7 " in line)
    accuracy, error = front.metrics["task7/accuracy"], front.metrics["task7/mae"]
    losses = front.losses[:, 7]
    expected = [losses.min(), losses.max(), accuracy.max(), error.min()]
    assert line.split()[1:] == [f"{value:.4f}" for value in expected]


def test_end_of_a_run_says_what_next(text: io.StringIO) -> None:
    print_run(console(text, 40), Path("runs/a-rather-long-name-20260101-120000"), make_front(2, 3))
    said = text.getvalue()
    assert "run folder      runs/a-rather-long-name-20260101-120000\n" in said, "a path is never folded"
    assert "moframework front runs/a-rather-long-name-20260101-120000 --json\n" in said
    assert "tensorboard --logdir runs/" in said


def test_brackets_in_names_are_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    rows = table(["[red]x"])
    rows.add_row("[a] b")
    output().print(rows)
    said = capsys.readouterr().out
    assert "[red]x" in said
    assert "[a] b" in said


@pytest.mark.parametrize(
    "variables", [{}, {"TERM": "dumb", "FORCE_COLOR": "1"}, {"TERM": "dumb", "TTY_COMPATIBLE": "1"}, {"COLUMNS": "60"}]
)
def test_off_a_terminal_a_table_is_as_wide_as_it_needs(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With TERM=dumb and FORCE_COLOR, as agents and CI set them, rich had 80 columns."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    rows = table(("name", "what it is"))
    rows.add_row("one", "word " * 300)
    output().print(rows)
    assert ("word " * 300).rstrip() in capsys.readouterr().out


def test_off_a_terminal_lines_are_not_filled_up_with_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    """One long cell made every line, and the rule below the headings, as wide."""
    rows = table(("name", "what it is"))
    rows.add_row("one", "x" * 1000)
    rows.add_row("two", "short")
    output().print(rows)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.endswith(" ")] == []
    assert sorted(len(line) > 200 for line in lines) == [False] * (len(lines) - 1) + [True]
    assert any("two" in line and line.endswith("short") for line in lines)


def test_a_short_table_of_many_tasks_has_a_row_a_task_in_a_pipe_too(capsys: pytest.CaptureFixture[str]) -> None:
    front = make_front(24, 30)
    print_front(output(), front, short=True)
    said = capsys.readouterr().out
    assert said.splitlines()[2].split()[:3] == ["task", "lowest", "loss"]
    assert max(map(len, said.splitlines())) < 170
    assert "are shown" not in said
    assert "reference (1 for each of 24 tasks)" in said
    print_front(output(), front, short=False)
    assert "lowest loss" not in capsys.readouterr().out, "in a pipe the whole front has all columns"


def test_off_a_terminal_no_column_of_a_front_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    front = make_front(40, 4, ("accuracy", "mae"))
    print_front(output(), front, short=False)
    said = capsys.readouterr().out
    assert f"{front.metrics['task39/mae'][3]:.4f}" in said
    assert f"{front.losses[2, 17]:.4f}" in said
