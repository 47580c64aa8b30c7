"""Commands that search ranges for the best values: `tune`, and what the process of a trial runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from moframework.cli.shared import EXIT_CODES, imports_told, processes, set_option, spec_argument, trust_option

if TYPE_CHECKING:
    from moframework.tuning.results import ContestResults, StudyResults

__all__ = ["COMMANDS"]


@click.command(epilog=EXIT_CODES)
@spec_argument
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of trials and results; the same one again goes on. Default: runs/tune-NAME.",
)
@click.option("--trials", metavar="N", type=click.IntRange(min=1), help="Trials in all: --set tune.trials=N.")
@click.option("--jobs", metavar="N", type=click.IntRange(min=1), help="Trials at a time: --set tune.jobs=N.")
@set_option
@trust_option("the run that `initial` of a solver names,")
def tune(
    spec: str, out: Path | None, trials: int | None, jobs: int | None, overrides: tuple[str, ...], trust: bool
) -> None:
    """Search ranges for the values with the best validation front.

    SPEC is a spec of a run, or of a benchmark, with `tune: {ranges: …, trials: …}`. Each trial is a run in a process of
    its own; the hypervolume of its front on validation decides, and the test split chooses nothing. Ends with the best
    values, a page (results.md) and best.yaml, which `moframework solve` takes; of a benchmark every contender has the
    same budget, and `moframework benchmark` takes best.yaml. Ctrl-C saves and stops; the same command goes on.
    """
    if processes() > 1:
        raise click.UsageError("tuning starts processes of its own: run it without torchrun")
    from moframework.tuning.loading import load_study
    from moframework.tuning.spec import Study

    given = [*overrides, *(f"tune.{key}={value}" for key, value in (("trials", trials), ("jobs", jobs)) if value)]
    with imports_told():
        loaded = load_study(spec, given)
    from moframework.cli.progress import TuningLines
    from moframework.tuning.running import default_folder, tune

    folder, watcher = out or default_folder(loaded), TuningLines()
    if isinstance(loaded, Study):
        _tell(tune(loaded, folder, watcher=watcher, trust=trust))
    else:
        _tell_contest(tune(loaded, folder, watcher=watcher, trust=trust))


def _tell(results: StudyResults) -> None:
    """The best values, with the files; a study without a trial that is done has failed."""
    from moframework.cli.tables import output, table
    from moframework.tuning.saving import BEST
    from moframework.tuning.words import said_choice

    console, best = output(), results.best
    if best is None:
        click.echo(f"no trial is done: {results.folder / 'results.md'} says why", err=True)
        sys.exit(1)
    rows = table(("best", f"trial {best.number} of {len(results.trials)}"))
    rows.add_row("validation hypervolume", f"{best.hypervolume:.4f}")
    if results.own is not None:
        rows.add_row("of the spec's own values", f"{results.own.hypervolume:.4f}")
    for text in said_choice(best.choice):
        name, _, value = text.partition(" = ")
        rows.add_row(name, value)
    console.print(rows)
    for what, name in (("page", "results.md"), ("every trial", "trials.csv"), ("spec to solve", BEST)):
        console.print(f"{what:<15} {results.folder / name}", soft_wrap=True)


def _tell_contest(results: ContestResults) -> None:
    from moframework.cli.tables import output, table
    from moframework.tuning.words import said_choice

    console = output()
    numbers = ("own values", "best")
    rows = table(("problem", "contender", *numbers, "values"), right=numbers)
    for (problem, solver), study in results.studies.items():
        heights = [f"{one.hypervolume:.4f}" if one is not None else "–" for one in (study.own, study.best)]
        values = ", ".join(said_choice(study.best.choice)) if study.best is not None else "no trial is done"
        rows.add_row(results.contest.problems[problem].title, results.contest.solvers[solver].title, *heights, values)
    console.print(rows)
    for path in (results.folder / "results.md", *sorted(results.folder.glob("best*.yaml"))):
        console.print(f"{'page' if path.suffix == '.md' else 'benchmark':<15} {path}", soft_wrap=True)
    if any(study.best is None for study in results.studies.values()):
        sys.exit(1)


@click.command("tune-trial", hidden=True)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--trust", is_flag=True)
def tune_trial(folder: Path, trust: bool) -> None:
    """Solve one trial of a study: what `moframework tune` runs for each."""
    from moframework.run.signals import follow_parent
    from moframework.tuning.solving import solve_trial

    follow_parent()
    solve_trial(folder, trust=trust)


COMMANDS = (tune, tune_trial)
"""All of them."""
