from __future__ import annotations

import io
import itertools
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from moframework.pareto import Front
from moframework.pareto.plots import axis_range, empty_figure, equal_rows, fit_title, front_figure, mark_equal
from tests.pareto.fronts import example
from tests.pareto.labels import crowded


def picture(figure: Figure) -> bytes:
    """Drawn as PNG; warnings, as of a missing glyph or of no room, are errors."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=40)
    return buffer.getvalue()


def words(figure: Figure) -> str:
    texts = [figure.get_suptitle()]
    for axes in figure.axes:
        texts += [axes.get_xlabel(), axes.get_ylabel(), axes.get_title()]
        texts += [text.get_text() for text in axes.texts]
        texts += [label.get_text() for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    for legend in (*figure.legends, *(axes.get_legend() for axes in figure.axes)):
        if legend is not None:
            texts += [text.get_text() for text in legend.get_texts()]
    return "\n".join(texts)


@pytest.mark.parametrize("m", [1, 2, 3, 5, 12])
def test_every_number_of_tasks_has_a_picture(m: int) -> None:
    front = example(m)
    earlier = [example(m, losses=front.losses + shift) for shift in (1.0, 0.2)]
    figure = front_figure(front, previous=earlier, title="step 7")
    assert picture(figure).startswith(b"\x89PNG")
    text = words(figure)
    for task in front.tasks:
        assert task in text
    assert "better" in text
    assert f"hypervolume of losses {front.hypervolume():.4g}" in text
    assert "step 7" in text
    assert "test front" in text


def test_two_tasks_have_titles_directions_and_a_color_bar() -> None:
    figure = front_figure(example())
    losses, metrics, bar = figure.axes
    assert losses.get_xlabel() == "loss of left  (← better)"
    assert losses.get_ylabel() == "loss of right  (↓ better)"
    assert metrics.get_xlabel() == "accuracy of left  (→ better)"
    assert metrics.get_ylabel() == "accuracy of right  (↑ better)"
    assert "preference for left" in bar.get_ylabel()
    assert "hypervolume of losses" in figure.get_suptitle()
    assert "of accuracy" in figure.get_suptitle()


def test_tasks_without_a_common_metric_show_their_first() -> None:
    front = example(
        metrics={"left/mae": np.linspace(0, 1, 11), "right/f1": np.linspace(0, 1, 11)},
        higher_is_better={"left/mae": False, "right/f1": True},
    )
    metrics = front_figure(front).axes[1]
    assert metrics.get_xlabel() == "mae of left  (← better)"
    assert metrics.get_ylabel() == "f1 of right  (↑ better)"


def test_without_metrics_there_is_one_panel() -> None:
    front = example(metrics={}, higher_is_better={})
    assert len(front_figure(front).axes) == 2  # and the color bar
    only_one = example(metrics={"left/mae": np.ones(11)}, higher_is_better={"left/mae": False})
    assert len(front_figure(only_one).axes) == 2


def test_dominated_points_are_hollow() -> None:
    front = example(n=3, losses=[[0.1, 0.9], [0.5, 0.95], [0.6, 0.2]], metrics={})
    figure = front_figure(front)
    hollow, full = figure.axes[0].collections[:2]
    assert np.asarray(hollow.get_offsets()).tolist() == [[0.5, 0.95]]
    assert len(np.asarray(hollow.get_facecolor())) == 0
    assert np.asarray(full.get_offsets()).tolist() == [[0.1, 0.9], [0.6, 0.2]]
    assert "dominated" in words(figure)
    assert "dominated (" not in words(front_figure(example(n=3, losses=[[0.1, 0.9], [0.5, 0.5], [0.9, 0.1]])))


@pytest.mark.parametrize(("reference", "shown"), [((1.0, 1.0), True), ((50.0, 50.0), False), ((0.1, 0.1), False)])
def test_the_reference_point_is_shown_where_it_is_near(reference: tuple[float, float], shown: bool) -> None:
    figure = front_figure(example(reference=reference))
    assert ("reference point" in words(figure)) == shown
    assert (figure.axes[0].get_xlim()[1] >= reference[0]) == (shown or reference == (0.1, 0.1))
    assert figure.axes[0].get_xlim()[1] < 2


def test_early_fronts_do_not_squeeze_the_present_one() -> None:
    front = example()
    figure = front_figure(front, previous=[example(losses=front.losses + 100)])
    low, high = figure.axes[0].get_xlim()
    assert np.ptp(front.losses[:, 0]) / (high - low) > 0.25


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_one_point_and_equal_points_have_a_picture(m: int) -> None:
    assert picture(front_figure(example(m, n=1)))
    front = example(m)
    assert picture(front_figure(example(m, losses=np.full_like(front.losses, 0.5))))


def test_labels_of_a_narrow_range_stand_apart() -> None:
    losses = [[0.010995, 0.4786], [0.010361, 0.4841], [0.010668, 0.4896]]
    metrics = {"a/mae": [0.0690, 0.0704, 0.0768], "b/accuracy": [0.933, 0.933, 0.917]}
    better = {"a/mae": False, "b/accuracy": True}
    preferences = [[0, 1], [0.5, 0.5], [1, 0]]
    front = Front(
        tasks=("a", "b"), preferences=preferences, losses=losses, metrics=metrics, higher_is_better=better, split="test"
    )
    figure = front_figure(front)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    left, right = figure.axes[0].get_xlim()
    labels = [
        label.get_window_extent(canvas.get_renderer())
        for label, at in zip(figure.axes[0].get_xticklabels(), figure.axes[0].get_xticks(), strict=True)
        if left <= at <= right
    ]
    assert len(labels) > 2
    digit = labels[0].width / 6
    assert all(one.x1 + digit < other.x0 for one, other in itertools.pairwise(labels))


def test_undefined_metric_values_are_left_out() -> None:
    front = example()
    holes = {name: np.where(np.arange(11) % 3 == 0, np.nan, values) for name, values in front.metrics.items()}
    assert picture(front_figure(example(metrics=holes)))


def test_many_tasks_have_a_color_bar_in_place_of_a_legend() -> None:
    front = example(12)
    assert len(front_figure(front).axes) == 3
    assert len(front_figure(example(5)).axes) == 2
    assert {"left", "gender", "equal weights"} <= set(words(front_figure(example(5))).split("\n"))


def test_the_figure_owns_its_canvas_and_pyplot_is_not_touched() -> None:
    assert isinstance(front_figure(example()).canvas, FigureCanvasAgg)
    code = "import sys, moframework.pareto.plots; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_the_front_is_not_changed() -> None:
    front = example()
    text = front.to_json()
    front_figure(front, previous=[example()])
    assert front.to_json() == text


def test_an_earlier_front_of_other_tasks_is_refused() -> None:
    other = Front(tasks=("a", "b"), preferences=[[0, 1]], losses=[[1, 1]], split="val")
    with pytest.raises(ValueError, match="an earlier front has tasks"):
        front_figure(example(), previous=[other])


@pytest.mark.parametrize("size", [None, (3.3, 2.8)])
@pytest.mark.parametrize("m", [2, 3, 7, 40])
def test_labels_of_ticks_never_overlap(m: int, size: tuple[float, float] | None) -> None:
    tasks = tuple(f"attribute {t} of a long name" for t in range(m))
    accuracy = {f"{task}/accuracy": 0.9 + 0.001 * np.arange(m + 2) for task in tasks}
    front = example(
        m, n=m + 2, tasks=tasks, metrics=accuracy, higher_is_better=dict.fromkeys(accuracy, True), metric_reference={},
        losses=1e-4 * example(m, n=m + 2).losses,
    )  # fmt: skip
    columns = [list(accuracy)[:2]] if m == 3 and size is not None else None  # six panels want more room
    assert crowded(front_figure(front, size=size, columns=columns)) == []


def test_a_size_that_is_too_small_is_told() -> None:
    with pytest.raises(ValueError, match=r"7 panels do not fit into 1\.5 × 1 inches: choose fewer columns"):
        front_figure(example(3), size=(1.5, 1))


def test_labels_that_overlap_are_found() -> None:
    figure = Figure()
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_xticks([0, 1, 2, 3], ["a name that is too long for its place"] * 4)
    assert crowded(figure)


def test_three_and_more_tasks_show_a_metric() -> None:
    three = front_figure(example(3))
    assert [axes.get_xlabel() for axes in three.axes[3:6]] == [
        "accuracy of left  (→ better)", "accuracy of left  (→ better)", "accuracy of right  (→ better)",
    ]  # fmt: skip
    assert front_figure(example(5)).axes[1].get_ylabel() == "accuracy, scaled to its range  (↑ better)"


@pytest.mark.parametrize("level", [1e-6, 0.5, 300.0])
def test_a_flat_front_is_seen_as_flat(level: float) -> None:
    noise = np.random.default_rng(1).uniform(-0.004, 0.004, size=(11, 2))
    axes = front_figure(example(losses=level * (1 + noise), reference=None)).axes[0]
    for span in (np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())):
        assert 0.04 * level < span < 0.06 * level
    many = front_figure(example(5, n=6, losses=level * (1 + np.tile(noise[:6, :1], 5)), reference=None)).axes[0]
    lines = np.concatenate(
        [np.asarray(line.get_ydata(), dtype=float) for line in many.lines if len(line.get_xdata()) == 5]
    )
    assert np.ptp(lines) < 0.25
    assert 0.3 < lines.mean() < 0.7


def test_a_range_is_not_changed_where_it_is_wide() -> None:
    low, high = axis_range(np.array([0.2, 0.7, np.nan]), room=0.0)
    assert (low, high) == pytest.approx((0.2, 0.7))
    assert axis_range(np.array([np.nan])) == (0, 1)
    assert axis_range(np.zeros(3))[0] < 0 < axis_range(np.zeros(3))[1]


def test_equal_points_say_how_many_they_are() -> None:
    losses = [[0.1, 0.9], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.9, 0.1]]
    figure = front_figure(example(n=5, losses=losses, metrics={}))
    assert [text.get_text() for text in figure.axes[0].texts if text.get_text().startswith("×")] == ["×3"]
    many = front_figure(example(4, n=6, losses=np.full((6, 4), 0.5), metrics={}))
    assert [text.get_text() for text in many.axes[0].texts] == ["×6"]
    assert equal_rows(np.array([[0.0], [np.nan], [np.nan], [0.001]]), within=0.01) == [[0, 3]]


def test_columns_and_title_can_be_chosen() -> None:
    front = example(4)
    figure = front_figure(front, columns=[["left/mae"], ["left/loss", "right/accuracy"]], titled=False, size=(6, 3))
    assert [axes.get_ylabel() for axes in figure.axes[:2]] == [
        "mae of left  (↓ better)",
        "accuracy of right  (↑ better)",
    ]
    assert figure.get_suptitle() == ""
    assert figure.get_size_inches().tolist() == [6, 3]
    with pytest.raises(ValueError, match="no column 'left/los'; did you mean 'left/loss'"):
        front_figure(front, columns=[["left/los", "right/loss"]])


def test_numbers_of_equal_points_do_not_cover_each_other() -> None:
    axes = Figure().subplots()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    mark_equal(axes, np.array([[0.5, 0.5]] * 2 + [[0.52, 0.5]] * 3 + [[0.9, 0.9]] * 2))
    assert [text.get_text() for text in axes.texts] == ["×3", "×2"]
    assert len(axes.collections) == 3, "a ring for each"


@pytest.mark.parametrize("title", ["a run of a rather long name " * 8, "multimnist-palora-" * 12, "short"])
@pytest.mark.parametrize("size", [None, (3.3, 2.8)])
def test_a_title_is_seen_whole(title: str, size: tuple[float, float] | None) -> None:
    """It was cut at both edges of the picture."""
    figure = front_figure(example(), title=title, size=size)
    picture(figure)
    whole = "".join(figure.get_suptitle().split())
    assert whole.startswith("".join(title.split()))
    assert "pointsnon-dominated" in whole
    (box,) = [text.get_window_extent() for text in figure.texts if text.get_text() == figure.get_suptitle()]
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    assert box.y1 <= figure.bbox.height
    top = max(axes.get_window_extent().y1 for axes in figure.axes)
    assert top <= box.y0, "the layout makes room for the lines"


def test_lines_of_a_title_that_fit_stay() -> None:
    figure = empty_figure()
    fit_title(figure)
    figure.suptitle("two\nlines", fontsize=12)
    fit_title(figure)
    assert figure.get_suptitle() == "two\nlines"
    assert figure.texts[0].get_fontsize() == 12
