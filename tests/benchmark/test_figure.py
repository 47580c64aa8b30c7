from __future__ import annotations

import io

import numpy as np
import pytest

from moframework.benchmark.figure import comparison_figure, typical
from moframework.pareto.front import Front
from tests.benchmark.test_measures import front


def of(m: int, shift: float = 0.0, **more: object) -> Front:
    weights = np.random.default_rng(0).dirichlet(np.ones(m), size=6) if m > 1 else np.ones((1, 1))
    given: dict[str, object] = {
        "tasks": tuple("abcd"[:m]), "preferences": weights, "losses": 1 - weights + shift, "split": "test", **more,
    }  # fmt: skip
    return Front(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("m", [1, 2])
def test_all_solvers_in_one_panel(m: int) -> None:
    figure = comparison_figure({"one": [of(m), of(m, 0.1)], "two": [of(m, 0.2)]}, finite={"two"}, title="t")
    assert len(figure.axes) == 1
    figure.savefig(io.BytesIO())
    assert figure.get_suptitle() == "t · test fronts · typical of 2 seeds strong, the others pale"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["one", "two"]
    joined = {line.get_color(): line.get_linestyle() for line in figure.axes[0].get_lines()}
    assert list(joined.values()) == ["-", "None"]


@pytest.mark.parametrize(("m", "label"), [(3, "loss of c"), (4, "loss of c; 1 more not shown")])
def test_a_panel_for_each_solver(m: int, label: str) -> None:
    fronts = {f"solver {i}": [of(m, true_front=of(m).losses), of(m, 0.1)] for i in range(6)}
    figure = comparison_figure(fronts)
    figure.savefig(io.BytesIO())
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in panels] == list(fronts)
    assert figure.axes[-1].get_ylabel() == label
    assert figure.get_suptitle() == "test fronts · typical of 2 seeds"


def test_fronts_of_searches_have_different_numbers_of_points() -> None:
    short, long = (np.stack([np.linspace(0, 1, n), 1 - np.linspace(0, 1, n)], axis=1) for n in (4, 9))
    clouds = [short, long, long + 1]
    assert typical(clouds) is long
    own = [Front(tasks=("a", "b"), preferences=1 - each, losses=each, split="test") for each in (short, long)]
    comparison_figure({"one": own, "two": own}, finite={"two"}).savefig(io.BytesIO())


def test_a_solver_without_fronts_is_left_out() -> None:
    figure = comparison_figure({"one": [of(3)], "two": []})
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["one", ""]


def test_long_lines_are_marked_here_and_there() -> None:
    weights = np.linspace(0, 1, 101)
    preferences = np.stack([weights, 1 - weights], 1)
    long = front((1 - preferences).tolist(), preferences=preferences)
    figure = comparison_figure({"one": [long], "two": [long]})
    assert [line.get_markevery() for line in figure.axes[0].get_lines()] == [(0, 11), (1, 11)]


def test_metrics_stand_beside_losses() -> None:
    shown = front([[0.8, 0.2], [0.2, 0.8]], [[0.5, 0.9], [0.9, 0.5]])
    figure = comparison_figure({"one": [shown]})
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels == ["loss of a  (← better)", "accuracy of a  (→ better)"]
    assert "one seed" in figure.get_suptitle()


def test_the_strong_front_is_one_that_a_seed_has_and_nearest_to_their_mean() -> None:
    figure = comparison_figure({"one": [of(2), of(2, 0.3), of(2, 0.2)]})
    strong = max(figure.axes[0].get_lines(), key=lambda line: line.get_linewidth())
    order = np.argsort(of(2).preferences[:, 0])
    np.testing.assert_allclose(np.asarray(strong.get_xydata()), of(2, 0.2).losses[order])


def test_points_far_out_do_not_squeeze_the_rest() -> None:
    far = front([[0.3, 50.0], [0.4, 0.4], [0.45, 0.35], [50.0, 0.3]])
    figure = comparison_figure({"near": [of(2)], "far": [far.__class__.from_json(far.to_json())]})
    assert figure.axes[0].get_xlim()[1] < 5
    assert figure.axes[0].get_title(loc="right") == "2 points farther out"


def test_true_front_is_in_the_legend() -> None:
    figure = comparison_figure({"one": [of(2, true_front=[[0.0, 1.0], [1.0, 0.0]])]})
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", "true front"]


def test_many_solvers_have_styles_of_their_own() -> None:
    figure = comparison_figure({f"solver {i}": [of(2, i / 50)] for i in range(14)})
    styles = {(line.get_color(), line.get_marker()) for line in figure.axes[0].get_lines()}
    assert len(styles) == 14


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="no front"):
        comparison_figure({"one": []})
    with pytest.raises(ValueError, match="different tasks"):
        comparison_figure({"one": [of(2)], "two": [of(3)]})


def test_a_front_without_the_metric_is_in_the_panel_of_losses_alone() -> None:
    shown = front([[0.8, 0.2], [0.2, 0.8]], [[0.5, 0.9], [0.9, 0.5]])
    theirs = [front([[0.7, 0.3], [0.3, 0.7]]), front([[0.6, 0.3], [0.5, 0.5], [0.3, 0.7]])]
    losses, metrics = comparison_figure({"ours": [shown], "theirs": theirs}).axes
    assert len(losses.get_lines()) == 4, "one of ours; two pale seeds of theirs and a strong one"
    assert len(metrics.get_lines()) == 1
