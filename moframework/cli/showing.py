"""Commands that show finished runs: a page to look at, and figures for papers."""

from __future__ import annotations

from pathlib import Path

import click

from moframework.cli.shared import EXIT_CODES

__all__ = ["COMMANDS"]

_RUNS = click.argument("runs", metavar="RUN…", nargs=-1, required=True, type=click.Path(path_type=Path))


@click.command(epilog=EXIT_CODES)
@_RUNS
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="The page; it is replaced where it exists.",
)
@click.option("--title", metavar="TEXT", help="Title of the page. Default: the names of the runs.")
def report(runs: tuple[Path, ...], out: Path, title: str | None) -> None:
    """Show runs as one HTML page, to be opened in a browser.

    Fronts, metrics, the course of the training, what the preference does, a dial, bounds that pick, tables to copy,
    times, notes and specs. The page needs no network and no server, and can be passed on as it is. Runs of one point,
    as of `single` and `stl`, are baselines. RUNs are folders of finished runs with the same tasks; nothing that they
    name is executed.
    """
    from moframework.report.page import write_page

    _writing(out)
    write_page(runs, out, title=title)
    click.echo(out)


@click.command(epilog=EXIT_CODES)
@_RUNS
@click.option(
    "--to",
    "out",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The figure, as .pdf, .svg or .png; it is replaced where it exists.",
)
@click.option("--split", type=click.Choice(["val", "test"]), default="test", show_default=True, help="Which data.")
@click.option(
    "--columns",
    metavar="COLUMN,…",
    multiple=True,
    help="What to show, such as left/loss,right/loss: two columns against each other, three in pairs, more as parallel "
    "coordinates. May be repeated. Default: the losses, and a metric of every task.",
)
@click.option("--size", metavar="W,H", help="Inches, such as 3.3,2.6 for a column of a paper. Default: what fits.")
@click.option("--no-title", "titled", is_flag=True, flag_value=False, default=True, help="Leave the title out.")
def plot(
    runs: tuple[Path, ...], out: Path, split: str, columns: tuple[str, ...], size: str | None, titled: bool
) -> None:
    """Draw the fronts of runs as a figure for a paper.

    One run is colored by its preference; of several each has a color and a shape. RUNs are folders of finished runs
    with the same tasks.
    """
    from moframework.report.figures import FORMATS, write_figure

    if out.suffix.removeprefix(".").lower() not in FORMATS:
        endings = ", ".join(f".{one}" for one in FORMATS)
        raise click.BadParameter(f"{out} must end with one of {endings}", param_hint="--to")
    _writing(out)
    groups = [[name.strip() for name in group.split(",") if name.strip()] for group in columns] or None
    write_figure(runs, out, split=split, columns=groups, size=_inches(size), titled=titled)
    click.echo(out)


def _inches(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        width, height = (float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(
            f"'{text}' is not two numbers with a comma between, such as 3.3,2.6", param_hint="--size"
        ) from None
    if not (1 <= width <= 60 and 1 <= height <= 60):
        raise click.BadParameter(f"'{text}': width and height are 1 to 60 inches", param_hint="--size")
    return width, height


def _writing(out: Path) -> None:
    """Refuse a file whose folder is not there before anything is computed."""
    if not out.absolute().parent.is_dir():
        raise click.BadParameter(f"the folder of {out} does not exist", param_hint="the file")


COMMANDS = (report, plot)
"""All of them."""
