"""`python -m tests.speed`: measure, print, keep, compare."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch
from attrs import frozen

from moframework.run.memory import keep_freed_memory
from tests.speed.cases import Case, cases
from tests.speed.memory import MEMORY_CASES, MemoryCase, measure
from tests.speed.report import Line, load, save, table, worse
from tests.speed.timing import Clock, alternate
from tests.speed.version_cases import version_cases
from tests.speed.versions import HERE, BenchError, Turns, bench, compare, compare_memory, revision


@frozen(kw_only=True)
class Options:
    """What the command line says."""

    names: tuple[str, ...]
    rounds: int
    seconds: float
    threads: int
    clock: Clock | None
    out: Path | None
    compare: Path | None
    against: Path | None
    python: str | None
    memory: bool

    @property
    def chosen_clock(self) -> Clock:
        """What is read."""
        return self.clock or ("wall" if torch.cuda.is_available() or self.threads > 1 else "processor")

    def keep(self, lines: Sequence[Line], **facts: Any) -> None:
        """Write what was measured so far, where a file was named for it."""
        if self.out is not None:
            chosen = {"clock": self.chosen_clock, "threads": self.threads, "rounds": self.rounds}
            save(lines, self.out, {**chosen, **facts})


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
@click.option(
    "--against", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Another checkout, from commit 93847ec on: measure this one against it, in turn; exit 1 if a limit is missed.",
)  # fmt: skip
@click.option("--python", help="With --against: the Python that runs both; by default this one.")
@click.option("--memory", is_flag=True, help="With --against: the peak memory of training steps in place of time.")
def main(**options: Any) -> None:
    """NAMES are beginnings of cases, such as `step` or `step/lenet` or `memory/segnet`; none: all."""
    chosen = Options(**options)
    if chosen.against is None and (chosen.python or chosen.memory):
        raise click.UsageError("--python and --memory go with --against")
    sys.exit(_against_plain(chosen) if chosen.against is None else _against_version(chosen, chosen.against))


def _against_plain(options: Options) -> int:
    """Measure the framework against the plain step."""
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    names, clock = options.names, options.chosen_clock
    lines: list[Line] = []
    wanted = [case for case in cases() if not names or case.name.startswith(names)]
    memory = tuple(case for case in MEMORY_CASES if not names or f"memory/{case.name}".startswith(names))
    if not wanted and not memory:
        raise _unknown(names, [case.name for case in cases()])
    for case in wanted:
        click.echo(f"{case.name} …", err=True)
        lines += _timed(case, options.rounds, options.seconds, "wall" if case.name.startswith("start/") else clock)
        options.keep(lines)
    lines += _remembered(memory)
    options.keep(lines)
    click.echo(table(lines))
    if options.compare is None:
        return 0
    grown = worse(lines, load(options.compare))
    click.echo("\n".join(["", "Grown by more than a tenth:", *grown]) if grown else "\nNothing grew by a tenth.")
    return 1 if grown else 0


def _against_version(options: Options, against: Path) -> int:
    """Measure this checkout against another one."""
    names = options.names
    wanted = [case for case in version_cases() if not names or case.name.startswith(names)]
    if not wanted:
        raise _unknown(names, [case.name for case in version_cases()])
    revisions = {"new": revision(HERE), "old": revision(against)}
    lines: list[Line] = []

    def tell(words: str) -> None:
        click.echo(words, err=True)

    try:
        with bench(against, options.python, options.threads) as on:
            turns = Turns(rounds=options.rounds, seconds=options.seconds, clock=options.chosen_clock)
            found = compare_memory(wanted, on, tell) if options.memory else compare(wanted, on, turns, tell)
            for line in found:
                lines.append(line)
                tell(f"  {line.contender or line.case}: {line.ratio:.3f}")
                options.keep(lines, revisions=revisions)
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{revisions['new']} (new) against {revisions['old']} (old)\n\n{table(lines)}")
    return 1 if any(line.verdict == "MISSED" for line in lines) else 0


def _unknown(names: Sequence[str], known: Sequence[str]) -> click.UsageError:
    return click.UsageError(f"no case begins with {' or '.join(names)}; cases: {', '.join(known)}")


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
        options = {"batch": case.batch, "training": dict(case.training), "mixed": case.mixed}
        other = case.against
        if other == "plain":
            words = [case.net, "merged" if case.mixed else "plain", f"batch {case.batch}" if case.batch else ""]
            other = ", ".join(word for word in (*words, f"{case.passes} passes" if case.passes > 1 else "") if word)
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
