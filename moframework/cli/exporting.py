"""`moframework export`: a model to files that are used without moframework."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from moframework.cli.shared import (
    EXIT_CODES,
    imports_told,
    noted,
    pick_option,
    preference_option,
    run_argument,
    trust_option,
)

__all__ = ["export"]


@click.command(epilog=EXIT_CODES)
@run_argument
@preference_option("One operating point")
@pick_option("Or choose it")
@click.option("--dial", is_flag=True, help="Or the whole front: λ is an input, `preference`, one for a batch.")
@click.option("--dial-per-sample", is_flag=True, help="Or the same with λ for each sample of a batch.")
@click.option(
    "--to",
    metavar="PATH",
    required=True,
    type=click.Path(path_type=Path),
    help="NAME.safetensors (weights by name), NAME.pt2 (torch.export), NAME.onnx, or a folder (adapters of PEFT).",
)
@click.option("--overwrite", is_flag=True, help="Replace what an earlier export has written there.")
@click.option(
    "--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps to evaluate the point, in place of the run's."
)
@trust_option("RUN")
def export(
    run: Path,
    preference: list[float] | None,
    asked: str | None,
    dial: bool,
    dial_per_sample: bool,
    to: Path,
    trust: bool,
    **options: Any,
) -> None:
    """Write the model of a run as a file that is used without moframework.

    RUN is a run folder, as `moframework solve` leaves it. The file is read back and compared with the model; beside it
    lie a model card (.md, .card.json) and what turns raw data into inputs and outputs into answers (.preparation.json).
    """
    from moframework.cli.picking import picked_by_text
    from moframework.export.exporting import check_export
    from moframework.run.run import Run

    if (preference is not None) + (asked is not None) + dial + dial_per_sample != 1:
        raise click.UsageError(
            'give one of --preference 0.3,0.7 and --pick "COLUMN <= X; minimize COLUMN" (one operating point), --dial '
            "and --dial-per-sample"
        )
    with imports_told():
        check_export(to, preference if asked is None else asked, mixed=dial_per_sample, overwrite=options["overwrite"])
        one = Run(run, trust=trust)
        point = preference if asked is None else picked_by_text(one, asked, noted, device=options["device"])
        found = one.export(to, point, mixed=dial_per_sample, **options)
    for note in found.notes:
        noted(note)
    for path in found.files:
        click.echo(path)
