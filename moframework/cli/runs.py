"""Commands that use a run that is solved: look at its front, evaluate, choose an operating point, predict, export."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from moframework.cli.exporting import export
from moframework.cli.shared import (
    EXIT_CODES,
    ExistingPath,
    batchnorm_option,
    imports_told,
    noted,
    pick_option,
    preference_option,
    run_argument,
    trust_option,
    unseen_option,
)
from moframework.errors import PreferenceError

__all__ = ["COMMANDS"]


@click.command(epilog=EXIT_CODES)
@run_argument
@click.option("--split", type=click.Choice(["val", "test"]), default="test", show_default=True, help="Which data.")
@click.option(
    "--against",
    metavar="STL_RUN",
    type=click.Path(path_type=Path),
    help="A run of single-task networks on the same problem: show the mean relative change, Δm %, of each point.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: tasks, preferences, losses, metrics and indicators.")
@trust_option("RUN or STL_RUN")
def front(run: Path, split: str, against: Path | None, as_json: bool, trust: bool) -> None:
    """Show the front that a run has found.

    RUN is a run folder, as `moframework solve` leaves it.
    """
    from moframework.run.run import Run

    one = Run(run, trust=trust)
    found = one.front(split)
    with imports_told():
        change = None if against is None else one.delta_m(Run(against, trust=trust), split)
    if as_json:
        click.echo(found.to_json() if change is None else _with_change(found.to_json(), change.tolist()))
        return
    from moframework.cli.tables import output, print_front

    print_front(output(), found, short=False, change=change)


@click.command(epilog=EXIT_CODES)
@run_argument
@click.option("--points", metavar="N", type=click.IntRange(min=1), help="An even set of N preferences.")
@click.option(
    "--preferences",
    metavar="λ;λ;…",
    help="Or these, each of one number a task, scaled to sum to 1: '0.2,0.8;0.5,0.5'. Default: those of the run.",
)
@pick_option("Or one that is chosen on the validation split")
@click.option("--split", type=click.Choice(["val", "test"]), help="Which data.  [default: test]")
@click.option(
    "--data",
    metavar="FILE",
    type=ExistingPath(),
    help="All samples of another file, laid out as the run's own, in place of a split: a table, a folder of images "
    "with its table, an .npz file.",
)
@unseen_option
@batchnorm_option
@click.option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps, in place of the run's.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as `moframework front` does.")
@click.option(
    "--out", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write the front here too."
)
@trust_option("RUN")
def evaluate(run: Path, as_json: bool, out: Path | None, asked: str | None, trust: bool, **options: Any) -> None:
    """Evaluate the model of a run at any preferences.

    RUN is a run folder, as `moframework solve` leaves it; it is not changed. The run may have been moved.
    """
    from moframework.cli.picking import picked_by_text
    from moframework.run.run import Run

    given = options.pop("preferences")
    if (given is not None) + (options["points"] is not None) + (asked is not None) > 1:
        raise click.UsageError("give one of --points, --preferences and --pick, not several")
    wanted: list[Any] | None = None if given is None else _preferences(given)
    with imports_told():
        one = Run(run, trust=trust)
        if asked is not None:
            shared = {key: options[key] for key in ("device", "batchnorm")}
            wanted = [picked_by_text(one, asked, noted, **shared).preference]
        found = one.evaluate(preferences=wanted, **options)
    if out is not None:
        found.save(out)
    if as_json:
        click.echo(found.to_json())
        return
    from moframework.cli.tables import output, print_front

    print_front(output(), found, short=False)


@click.command(epilog=EXIT_CODES.replace("1 failed run", "1 no point meets the conditions"))
@run_argument
@click.option(
    "--where",
    metavar="CONDITION",
    multiple=True,
    help="What must hold, as 'left/accuracy >= 0.95'; with >=, <=, >, < or =, which holds within 1 % of the number, or "
    "within what '= 0.3 +- 0.01' says. May be repeated.",
)
@click.option("--maximize", metavar="COLUMN", help="The point where this is largest, such as right/accuracy.")
@click.option("--minimize", metavar="COLUMN", help="The point where this is smallest, such as right/loss.")
@click.option("--compromise", is_flag=True, help="The point nearest to the ideal of scaled losses; the default.")
@click.option("--knee", is_flag=True, help="The point farthest below the plane through the ends of the front.")
@click.option("--tradeoff", is_flag=True, help="The point that costs most to leave, for what is gained elsewhere.")
@click.option("--nearest", metavar="COLUMN=VALUE,…", help="The point nearest to these values.")
@click.option("--weights", metavar="TASK=WEIGHT,…", help="The smallest weighted sum of scaled losses.")
@click.option("--pseudo-weights", metavar="TASK=WEIGHT,…", help="The point with these shares of what can be gained.")
@click.option(
    "--step",
    "towards",
    metavar="TASK=better",
    help="From the chosen point, or --from, go on to the next one where this is better (or worse), and tell what it "
    "costs the others; TASK or COLUMN.",
)
@click.option("--from", "start", metavar="λ", help="Where a step begins, as 0.3,0.7, in place of a rule.")
@click.option(
    "--evaluations", metavar="N", type=click.IntRange(min=0), help="Preferences that are tried at most. Default: 30."
)
@batchnorm_option
@click.option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps, in place of the run's.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@trust_option("RUN")
def pick(run: Path, as_json: bool, trust: bool, **options: Any) -> None:
    """Choose an operating point of a run by what you need.

    Searches all preferences, not only those of the front, on the validation split, and tells the point's losses and
    metrics on both splits, with 95 % intervals. The test split chooses nothing. RUN is not changed.
    """
    from moframework.cli.picking import picked, print_pick
    from moframework.run.run import Run

    one = Run(run, trust=trust)
    with imports_told():
        found = picked(one, options)
    if as_json:
        import json

        click.echo(json.dumps(found.as_plain(), indent=2, ensure_ascii=False))
        return
    from moframework.cli.tables import output

    print_pick(output(), one.path, found)


def _preferences(text: str) -> list[list[float]]:
    """Preferences as they are typed: numbers by commas, rows by semicolons."""
    try:
        return [[float(number) for number in row.split(",")] for row in text.split(";") if row.strip()]
    except ValueError:
        raise click.UsageError(
            f"cannot read the preference '{text}': write numbers with commas, and ; between preferences"
        ) from None


def _with_change(text: str, change: list[float]) -> str:
    """The JSON of a front with Δm of each point; null where it is not defined."""
    import json

    return json.dumps(json.loads(text) | {"delta_m": [value if value == value else None for value in change]})


@click.command(epilog=EXIT_CODES)
@run_argument
@click.argument("raw", metavar="INPUT", type=ExistingPath())
@preference_option("The operating point")
@pick_option("Or choose it")
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write: .csv, .jsonl, .parquet, or .npz with the raw outputs. Default: CSV on standard output.",
)
@click.option("--keep", metavar="COLUMN", multiple=True, help="Pass a column through, such as an id. May be repeated.")
@unseen_option
@click.option("--device", default="cpu", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@trust_option("RUN")
def predict(
    run: Path,
    raw: Path,
    preference: Sequence[float] | None,
    asked: str | None,
    out: Path | None,
    trust: bool,
    **options: Any,
) -> None:
    """Predict new data at one operating point.

    RUN is a run folder. INPUT is what its problem was declared with: a table (.csv, .parquet) with the columns of the
    one that was trained on, or a folder of images; or a .npz file with prepared `inputs`. Answers are classes by their
    names, with probabilities, and numbers in the targets' own units, a line for each sample in the order of INPUT.
    """
    from moframework.predicting.writing import write_lines, write_predictions
    from moframework.run.predicting import predict

    if (preference is None) == (asked is None):
        raise click.UsageError(
            'an operating point is needed: give one of --preference 0.3,0.7 and --pick "COLUMN <= X; minimize COLUMN"'
            if asked is None else "give one of --preference and --pick, not both"
        )  # fmt: skip
    with imports_told():
        if asked is not None:
            from moframework.cli.picking import picked_by_text
            from moframework.run.run import Run

            found = picked_by_text(Run(run, trust=trust), asked, noted, device=options["device"])
            preference = found.preference
        assert preference is not None
        try:
            parts = predict(run, raw, preference, trust=trust, note=noted, **options)
        except PreferenceError as error:
            raise click.BadParameter(str(error), param_hint="--preference") from None
    if out is None:
        write_lines(parts, sys.stdout, "csv")
    else:
        write_predictions(parts, out)
        click.echo(out)


@click.command(epilog=EXIT_CODES)
@run_argument
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address to bind to.")
@click.option("--port", metavar="N", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any.")
@click.option(
    "--point",
    "points",
    metavar="NAME=NUMBERS",
    multiple=True,
    help="An operating point that requests can name, such as balanced=0.5,0.5; or NAME=FILE, of `moframework pick "
    "--json`; or NAME=TEXT, which chooses one as `--pick` of `moframework predict` does. May be repeated.",
)
@click.option(
    "--limit",
    "limits",
    metavar="KEY=VALUE",
    multiple=True,
    help="max_batch, max_wait, max_samples, max_length, max_body, max_requests, max_time, max_connections or drain. "
    "May be repeated.",
)
@click.option(
    "--samples", type=click.IntRange(0, 1000), default=8, show_default=True, help="Test samples that the page offers."
)
@click.option(
    "--allow-host", "hosts", metavar="NAME", multiple=True, help="A further name by which clients may call the server."
)
@click.option("--device", default="cpu", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@trust_option("RUN")
def serve(run: Path, host: str, port: int, hosts: tuple[str, ...], limits: tuple[str, ...], **options: Any) -> None:
    """Answer requests with the model of a run.

    RUN is a run folder; it is not changed. POST /predict takes JSON with inputs and a preference or the name of a
    point; requests are answered together, whatever their preferences. A page at / moves the preference on samples.
    SIGTERM or Ctrl-C answers what is under way, then ends.
    """
    from moframework.serve import serve as serve_until_stopped
    from moframework.serve import service_of
    from moframework.serve.limits import read_limits

    with imports_told():
        service = service_of(run, limits=read_limits(limits), note=noted, **options)
    serve_until_stopped(service, host, port, hosts=hosts, note=noted)


COMMANDS = (front, evaluate, pick, predict, export, serve)
"""All of them."""
