"""`python -m tests.speed`: measure, print, keep, compare."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

import click
import torch

from moframework.engine.memory import keep_freed_memory
from tests.speed.cases import Case, cases
from tests.speed.memory import MEMORY_CASES, MemoryCase, measure
from tests.speed.report import Line, load, save, table, worse
from tests.speed.timing import Clock, alternate


@click.command(help=__doc__)
@click.argument("names", nargs=-1)
@click.option("--rounds", default=15, show_default=True, help="Turns of each contender.")
@click.option("--seconds", default=0.2, show_default=True, help="Least length of a turn, for quick contenders.")
@click.option("--threads", default=1, show_default=True, help="Threads of torch on the host.")
@click.option(
    "--clock", type=click.Choice(["processor", "wall"]),
    help="What is read; by default processor seconds on one thread without an accelerator, else wall seconds.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Write the result here, as JSON.")
@click.option(
    "--compare", type=click.Path(path_type=Path, exists=True), help="An earlier result: exit 1 if a ratio grew."
)
def main(
    names: tuple[str, ...], rounds: int, seconds: float, threads: int, clock: Clock | None, out: Path | None,
    compare: Path | None,
) -> None:  # fmt: skip
    """NAMES are beginnings of cases, such as `step` or `step/lenet` or `memory/segnet`; none: all."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    chosen: Clock = clock or ("wall" if torch.cuda.is_available() or threads > 1 else "processor")
    lines: list[Line] = []
    wanted = [case for case in cases() if not names or case.name.startswith(names)]
    memory = tuple(case for case in MEMORY_CASES if not names or f"memory/{case.name}".startswith(names))
    if not wanted and not memory:
        raise click.UsageError(f"no case begins with {' or '.join(names)}; cases: {', '.join(c.name for c in cases())}")
    for case in wanted:
        click.echo(f"{case.name} …", err=True)
        lines += _timed(case, rounds, seconds, "wall" if case.name.startswith("start/") else chosen)
        if out is not None:
            save(lines, out, {"clock": chosen, "threads": threads, "rounds": rounds})
    lines += _remembered(memory)
    if out is not None:
        save(lines, out, {"clock": chosen, "threads": threads, "rounds": rounds})
    click.echo(table(lines))
    if compare is not None:
        grown = worse(lines, load(compare))
        click.echo("\n".join(["", "Grown by more than a tenth:", *grown]) if grown else "\nNothing grew by a tenth.")
        sys.exit(1 if grown else 0)


def _timed(case: Case, rounds: int, seconds: float, clock: Clock) -> list[Line]:
    contenders = case.make()
    figures = alternate(
        {name: one.call for name, one in contenders.items()}, rounds=rounds, least_seconds=seconds, clock=clock
    )
    first = next(iter(contenders))
    return [
        Line(
            case=case.name, contender=name, against="" if name == first else first, amount=figure.seconds,
            unit="seconds", ratio=figure.ratio / contenders[name].per, low=figure.low / contenders[name].per,
            high=figure.high / contenders[name].per, limit=contenders[name].limit,
        )
        for name, figure in figures.items()
    ]  # fmt: skip


def _remembered(memory: tuple[MemoryCase, ...]) -> list[Line]:
    taken: dict[str, list[int]] = {}
    lines = []
    for case in memory:
        click.echo(f"memory, {case.name} …", err=True)
        options = {"batch": case.batch, "training": dict(case.training)}
        other = case.against
        if other == "plain":
            words = [case.net, "plain", f"batch {case.batch}" if case.batch else "", f"{case.passes} passes"]
            other = ", ".join(word for word in words[: 4 if case.passes > 1 else 3] if word)
        if other not in taken:
            solver = next((dict(one.solver) for one in MEMORY_CASES if one.name == other), None)
            taken[other] = measure(case.net, solver, passes=case.passes, **({} if solver else options))
        taken[case.name] = measure(case.net, dict(case.solver), processes=case.processes, **options)
        middle = statistics.median(taken[other])
        low, median, high = statistics.quantiles(taken[case.name], n=4, method="inclusive")
        lines.append(Line(
            case="memory", contender=case.name, against=other, amount=median, unit="bytes", ratio=median / middle,
            low=low / middle, high=high / middle, limit=case.limit,
        ))  # fmt: skip
    return lines


if __name__ == "__main__":
    main()
