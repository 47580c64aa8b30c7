from __future__ import annotations

import csv
from pathlib import Path

import attrs

from moframework.tuning.figures import history_figure, ranges_figure
from moframework.tuning.loading import load_study
from moframework.tuning.results import StudyResults
from moframework.tuning.saving import to_csv, to_markdown
from moframework.tuning.trial import Trial
from tests.tuning.parts import LR, SMALL


def test_every_trial_is_a_row(finished: StudyResults) -> None:
    rows = list(csv.DictReader(to_csv(finished).splitlines()))
    assert [row["state"] for row in rows] == [one.state for one in finished.trials]
    for row, one in zip(rows, finished.trials, strict=True):
        assert float(row[LR]) == one.choice[LR]
        assert (float(row["validation_hypervolume"]) if row["validation_hypervolume"] else None) == one.hypervolume
        assert row["message"] == (one.message or "")


def test_files(finished: StudyResults) -> None:
    names = {path.name for path in finished.folder.iterdir() if not path.name.startswith(".")}
    assert names == {
        "study.yaml", "journal.log", "trials", "results.md", "trials.csv", "history.png", "ranges.png", "best.yaml",
    }  # fmt: skip
    assert (finished.folder / "best.yaml").read_text().startswith("# Found by `moframework tune`: trial ")


def with_heights(finished: StudyResults, *heights: float | None) -> StudyResults:
    """The study with trials of these hypervolumes; None is one that was not finite."""
    trials = [
        attrs.evolve(
            finished.trials[0],
            number=number,
            choice={**finished.trials[0].choice, LR: 10.0 ** (number - 2)},
            state="nonfinite" if height is None else "done",
            hypervolume=height,
            is_own=number == 0,
        )
        for number, height in enumerate(heights)
    ]
    return attrs.evolve(finished, trials=trials, importances={LR: 0.75, "solver.rank": 0.25})


def test_what_the_page_says(finished: StudyResults) -> None:
    page = to_markdown(with_heights(finished, 0.5, None, 0.75, 0.75))
    assert "Best: trial 2 of 4, validation hypervolume of losses 0.7500, with lr = 1, rank = 1" in page
    assert "The spec's own values reach 0.5000: +0.2500 by tuning" in page
    assert "| training.optimizer.lr | 75 % | log [0.001, 1000.0] |" in page
    assert "The best value of solver.rank lies at an end of its range" in page
    assert "No trial is done yet." in to_markdown(with_heights(finished, None))
    assert "no point of a front is better than the reference point" in to_markdown(with_heights(finished, 0.0))


def test_pictures(finished: StudyResults) -> None:
    results = with_heights(finished, 0.5, None, 0.75, 0.6)
    axes = history_figure(results).axes[0]
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines["trial"].get_xdata()) == [0, 2, 3]
    assert list(lines["best so far"].get_ydata()) == [0.5, 0.75, 0.75]
    assert list(lines["failed, or not finite"].get_xdata()) == [1]
    pruned: Trial = attrs.evolve(results.trials[0], number=4, state="pruned", hypervolume=None, validations={1: 0.3})
    lines = {
        line.get_label(): line
        for line in history_figure(attrs.evolve(results, trials=[*results.trials, pruned])).axes[0].get_lines()
    }
    assert list(lines["pruned, at its last validation"].get_ydata()) == [0.3]
    panels = ranges_figure(results).axes
    assert panels[0].get_title(loc="left") == "lr  ·  importance 75 %"
    assert list(panels[0].get_lines()[0].get_xdata()) == [0.01, 1.0, 10.0]
    assert panels[0].get_xscale() == "log"
    assert [text.get_text() for text in panels[2].get_xticklabels()] == ["1", "2"]


def test_a_study_without_a_trial_that_is_done_has_pictures_too(finished: StudyResults, tmp_path: Path) -> None:
    for height in ((), (None,)):
        results = attrs.evolve(with_heights(finished, *height), importances=None)
        history_figure(results).savefig(tmp_path / "a.png")
        ranges_figure(results).savefig(tmp_path / "b.png")


def test_choices_of_one_name_have_places_of_their_own(finished: StudyResults) -> None:
    key, choices = "solver.preferences", [{"name": "dirichlet", "per_batch": 1}, {"name": "dirichlet", "per_batch": 2}]
    study = load_study({"problem": SMALL, "solver": "palora", "tune": {"ranges": {key: {"choices": choices}}}})
    results = with_heights(finished, 0.5, 0.75, 0.6)
    tried = (choices[0], {"per_batch": 2, "name": "dirichlet"}, choices[1])  # the journal orders options
    trials = [attrs.evolve(one, choice={key: value}) for one, value in zip(results.trials, tried, strict=True)]
    (panel, *_) = ranges_figure(attrs.evolve(results, study=study, trials=trials)).axes
    assert list(panel.get_lines()[0].get_xdata()) == [0, 1, 1]
    labels = [label.get_text() for label in panel.get_xticklabels()]
    assert labels == ["dirichlet,\nper_batch 1", "dirichlet,\nper_batch 2"]
