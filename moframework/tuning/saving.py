"""What a study has found as files: a page, a table, pictures, and a spec that takes the best values."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping

from moframework.benchmark.spec import slug
from moframework.config import unstructure
from moframework.io.atomic import atomic_write, write_text
from moframework.spec.writing import write_yaml
from moframework.tuning.figures import history_figure, ranges_figure
from moframework.tuning.loading import best_spec, with_values
from moframework.tuning.results import ContestResults, StudyResults
from moframework.tuning.spec import Search
from moframework.tuning.trial import State, Trial
from moframework.tuning.words import as_text, said, said_choice

__all__ = ["BEST", "best_benchmark", "draw", "save", "save_contest", "to_csv", "to_markdown"]

BEST = "best.yaml"
WORDS: dict[State, str] = {
    "done": "done",
    "pruned": "pruned",
    "nonfinite": "not finite",
    "failed": "failed",
    "unfinished": "unfinished",
}
"""What a state is called."""
_NONE = "–"


def save(results: StudyResults) -> None:
    """Write `results.md`, `trials.csv`, `history.png`, `ranges.png` and, once a trial is done, `best.yaml` into the
    folder of a study.

    `best.yaml` is the spec with the best values, and with the study's reference point, so that its validation
    hypervolume is that of the trial where it trains as long.
    """
    folder = results.folder
    draw(results)
    write_text(folder / "trials.csv", to_csv(results))
    write_text(folder / "results.md", to_markdown(results))
    if results.best is not None:
        spec = best_spec(results.study, results.best.choice, results.reference, f"{results.study.name or 'study'}-best")
        head = (
            f"# Found by `moframework tune`: {_found(results, results.best)}. On validation; test data chose nothing."
        )
        write_text(folder / BEST, f"{head}\n{spec.to_yaml(folder.absolute())}")


def draw(results: StudyResults) -> None:
    """Write `history.png` and `ranges.png`."""
    for name, figure in (("history.png", history_figure(results)), ("ranges.png", ranges_figure(results))):
        with atomic_write(results.folder / name) as partial:
            figure.savefig(partial, dpi=130)


def save_contest(results: ContestResults) -> None:
    """Write `results.md`, and for each problem the benchmark with the best values of each contender: `best.yaml`, or
    `best-PROBLEM.yaml` where there are several. A contender of which no trial is done keeps its own values."""
    names = {}
    for problem, entry in enumerate(results.contest.problems):
        several = len(results.contest.problems) > 1
        names[problem] = f"best-{slug(entry.title)}.yaml" if several else BEST
        write_text(results.folder / names[problem], best_benchmark(results, problem))
    write_text(results.folder / "results.md", _contest_page(results, names))


def best_benchmark(results: ContestResults, problem: int) -> str:
    """A benchmark of one problem as YAML, in which each contender has its best values."""
    contest = results.contest
    plain = {key: value for key, value in unstructure(contest).items() if key != "tune"}
    plain["problems"] = [plain["problems"][problem]]
    for place, entry in enumerate(plain["solvers"]):
        plain["solvers"][place] = with_values(entry, results.chosen(problem, place) or {})
    plain["name"] = f"{contest.name or 'benchmark'}-best"
    head = (
        f"# Found by `moframework tune`: {contest.tune.trials} trials of each contender, of one budget, on validation; "
        "test data chose nothing."
    )
    return f"{head}\n{write_yaml(plain)}"


def to_csv(results: StudyResults) -> str:
    """Every trial as a row: number, state, hypervolume, seconds, a column for each key, and why it ended."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    keys = list(results.study.tune.ranges)
    writer.writerow(["trial", "state", "validation_hypervolume", "seconds", "processor_seconds", *keys, "message"])
    for one in results.trials:
        values = [as_text(one.choice[key]) if key in one.choice else "" for key in keys]
        height = "" if one.hypervolume is None else repr(one.hypervolume)
        writer.writerow([one.number, one.state, height, one.seconds, one.processor_seconds, *values, one.message or ""])
    return file.getvalue()


def to_markdown(results: StudyResults) -> str:
    """The page of a study: what was found, what it cost, what mattered, and every trial."""
    tuning = results.study.tune
    lines = [f"# {results.study.name or 'study'}: tuned", "", *_summary(results), ""]
    lines += ["![Validation hypervolume of every trial, and the best so far](history.png)", ""]
    lines += ["![Validation hypervolume over the values of each key, with its importance](ranges.png)", ""]
    lines += ["## What mattered", "", *_importances(results), "", "## Trials", ""]
    lines += list(_trial_table(results))
    lines += ["", "## Budget", "", *_budget(tuning, results), ""]
    return "\n".join(lines)


def _summary(results: StudyResults) -> Iterator[str]:
    best = results.best
    if best is None:
        yield "No trial is done yet."
        return
    yield f"Best: {_found(results, best)}, with {', '.join(said_choice(best.choice))}."
    yield ""
    if results.own is not None and results.own.hypervolume is not None and best.hypervolume is not None:
        gain = best.hypervolume - results.own.hypervolume
        yield (
            f"The spec's own values reach {results.own.hypervolume:.4f}: {gain:+.4f} by tuning, on validation, where "
            "the largest of several is chosen."
        )
    elif results.outside:
        yield f"The spec's own values were not tried: {', '.join(results.outside)} has a range that does not hold them."
    else:
        yield "The trial of the spec's own values is not done."
    if best.hypervolume == 0:
        yield ""
        yield "It is 0: no point of a front is better than the reference point in every task. Train longer, or state a "
        yield "farther one (`evaluate.reference`)."
    for key in results.at_edge:
        yield ""
        yield f"The best value of {key} lies at an end of its range: a wider one might do better."
    yield ""
    yield f"`moframework solve {results.folder / BEST}` trains with the best values. Test data chose nothing."


def _importances(results: StudyResults) -> Iterator[str]:
    if results.importances is None:
        yield "Importances need four trials that are done, with different hypervolumes."
        return
    yield "| key | importance | range |"
    yield "| --- | ---: | --- |"
    for key, share in results.importances.items():
        one = results.study.tune.ranges[key]
        yield f"| {key} | {100 * share:.0f} % | {one.kind} {as_text(list(one.ends))} |"
    yield ""
    yield (
        "Importance: the share of a key alone in how the hypervolumes of the trials that are done differ (functional "
        "analysis of variance)."
    )


def _trial_table(results: StudyResults) -> Iterator[str]:
    keys = list(results.study.tune.ranges)
    cells = ["trial", "state", "hypervolume", *(key.replace("|", "\\|") for key in keys), "seconds", "why"]
    yield f"| {' | '.join(cells)} |"
    yield f"| {' | '.join(['---:', '---', *['---:'] * (len(keys) + 2), '---'])} |"
    for one in results.trials:
        height = _NONE if one.hypervolume is None else f"{one.hypervolume:.4f}"
        values = [said(one.choice[key]).replace("|", "\\|") if key in one.choice else _NONE for key in keys]
        state = WORDS[one.state] + (", own values" if one.is_own else "")
        why = (one.message or "").replace("|", "\\|").replace("\n", " ")
        yield f"| {one.number} | {state} | {height} | {' | '.join(values)} | {one.seconds:.1f} | {why} |"


def _budget(tuning: Search, results: StudyResults) -> Iterator[str]:
    counts = ", ".join(f"{count} {WORDS[state]}" for state, count in sorted(results.counts.items()))
    limits = [f"{tuning.trials} trials"]
    limits += [] if tuning.seconds is None else [f"{tuning.seconds:g} seconds"]
    limits += [] if tuning.processor_seconds is None else [f"{tuning.processor_seconds:g} processor seconds"]
    limits += [] if tuning.epochs is None else [f"{tuning.epochs} epochs a trial"]
    yield (
        f"{len(results.trials)} trials ({counts or 'none'}) of at most {', '.join(limits)}; "
        f"{results.seconds:.0f} seconds and {results.processor_seconds:.0f} processor seconds in all, "
        f"{tuning.jobs} at a time. Reference point of losses: {as_text(list(results.reference))}."
    )


def _contest_page(results: ContestResults, names: Mapping[int, str]) -> str:
    contest = results.contest
    lines = [f"# {contest.name or 'benchmark'}: tuned", ""]
    trials = f"{contest.tune.trials} {'trial' if contest.tune.trials == 1 else 'trials'}"
    lines += [f"Every contender has {trials} on each problem, with seed {contest.seeds[0]}.", ""]
    lines += ["| problem | contender | own values | best | values | trials | page |"]
    lines += ["| --- | --- | ---: | ---: | --- | --- | --- |"]
    for (problem, solver), study in results.studies.items():
        counts = ", ".join(f"{count} {WORDS[state]}" for state, count in sorted(study.counts.items()))
        page = (study.folder / "results.md").relative_to(results.folder).as_posix()
        values = ", ".join(said_choice(study.best.choice)) if study.best else _NONE
        titles = contest.problems[problem].title, contest.solvers[solver].title
        cells = [*titles, _height(study.own), _height(study.best), values, counts, f"[{page}](<{page}>)"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Validation hypervolumes; those of one problem are comparable where it states a reference point.", ""]
    for problem, name in names.items():
        lines.append(f"`moframework benchmark {results.folder / name}` runs {contest.problems[problem].title}.")
    return "\n".join([*lines, ""])


def _found(results: StudyResults, best: Trial) -> str:
    return (
        f"trial {best.number} of {len(results.trials)}, validation hypervolume of {results.study.tune.by} "
        f"{best.hypervolume:.4f}"
    )


def _height(trial: Trial | None) -> str:
    return _NONE if trial is None or trial.hypervolume is None else f"{trial.hypervolume:.4f}"
