from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from moframework.benchmark.statistics.analysis import analyze
from moframework.benchmark.statistics.figures import attainment_figure, course_figure, ranking_figure
from moframework.benchmark.statistics.found import Course, Training
from moframework.benchmark.statistics.spec import Statistics
from moframework.pareto.attainment import times_attained
from tests.benchmark.statistics.made import made
from tests.benchmark.statistics.test_analysis import several
from tests.benchmark.test_figure import of
from tests.benchmark.test_measures import front

LOOKS = ["a", "b", "c"]


def test_ranks_and_profile() -> None:
    (found,) = analyze(several(6), Statistics()).measures  # type: ignore[arg-type]
    figure = ranking_figure(found, LOOKS)
    assert figure is not None
    figure.savefig(io.BytesIO())
    ranks, profile = figure.axes
    assert [label.get_text() for label in ranks.get_yticklabels()] == ["a", "b", "c"]
    shown = [float(np.asarray(line.get_xdata())[0]) for line in ranks.get_lines() if line.get_marker() in "os^"]
    assert found.ranking is not None
    assert [x for x in shown if x in found.ranking.ranks] == list(found.ranking.ranks)
    assert "critical difference" in ranks.get_title(loc="left")
    for line, solver in zip(profile.get_lines(), LOOKS, strict=True):
        own = found.profile.ratios[:, LOOKS.index(solver)] if found.profile else np.zeros(1)
        assert np.asarray(line.get_ydata())[-1] == pytest.approx(np.isfinite(own).mean())
    (alone,) = analyze(several(1), Statistics()).measures  # type: ignore[arg-type]
    assert ranking_figure(alone, LOOKS) is None, "seeds of one problem are not ranked"


def test_attainment_with_its_differences() -> None:
    first, second = (front([[0.2, 0.6], [0.5, 0.3]]), front([[0.3, 0.5]])), (front([[0.4, 0.4]]), front([[0.6, 0.7]]))
    seeds = {0: 1.0, 1: 1.0}
    (found,) = analyze([made({"a": seeds, "b": seeds}, fronts={"a": first, "b": second})], Statistics()).attainments
    figure = attainment_figure(found, LOOKS)
    assert figure is not None
    figure.savefig(io.BytesIO())
    surfaces, differences = figure.axes
    assert len(surfaces.collections) == 2, "a band each"
    drawn = [patch for patch in differences.patches if isinstance(patch, Rectangle)]
    point = np.array([[0.45, 0.45]])
    more = times_attained(point, [one.losses for one in first]) - times_attained(point, [one.losses for one in second])
    hit = [one for one in drawn if one.get_x() <= 0.45 < one.get_x() + one.get_width()
           and one.get_y() <= 0.45 < one.get_y() + one.get_height()]  # fmt: skip
    assert more[0] != 0
    assert [one.get_alpha() for one in hit] == [pytest.approx(0.75 * abs(more[0]) / 2)]
    one_more = made({"a": {**seeds, 2: 1.0}, "b": seeds}, fronts={"a": (*first, first[0]), "b": second})
    (uneven,) = analyze([one_more], Statistics()).attainments
    alone = attainment_figure(uneven, LOOKS)
    assert alone is not None
    assert len(alone.axes) == 1, "of unequal numbers of seeds no difference is drawn"


def test_three_tasks_have_numbers_and_no_picture() -> None:
    fronts = {"a": (of(3, reference=(2.0,) * 3), of(3, 0.1, reference=(2.0,) * 3))}
    (found,) = analyze([made({"a": {0: 1.0, 1: 1.0}}, fronts=fronts)], Statistics()).attainments
    assert found.rows[0].corners[0].shape[1] == 3
    assert attainment_figure(found, LOOKS) is None


def test_courses() -> None:
    def training(seed: int, last: float) -> Training:
        times = np.array([1.0, 2.0])
        return Training(seed=seed, seconds=2 * times, processor_seconds=times, hypervolumes=np.array([0.1, last]))

    own = (training(0, 0.2), training(1, 0.9), training(2, 0.5))
    course = Course(problem="p", trainings=(("a", own),), target=0.8, notes=())
    figure = course_figure(course, LOOKS)
    assert figure is not None
    figure.savefig(io.BytesIO())
    processor, clock = figure.axes
    strong = max(processor.get_lines(), key=lambda line: line.get_linewidth())
    assert np.asarray(strong.get_ydata()).tolist() == [0.1, 0.5], "the median"
    assert np.asarray(clock.get_lines()[0].get_xdata()).tolist() == [2.0, 4.0]
    assert course_figure(Course(problem="p", trainings=(), target=None, notes=()), LOOKS) is None
