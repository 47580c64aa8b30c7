"""`moframework pick`: its options as a rule, and the chosen point as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from moframework.cli.shared import numbers
from moframework.cli.tables import table
from moframework.pareto.rules import Nearest, PseudoWeights, Rule, Weights
from moframework.run.picking import Pick, arguments_of_text, pick_told
from moframework.run.run import Run

__all__ = ["picked", "picked_by_text", "print_pick"]


def picked(run: Run, options: Mapping[str, Any]) -> Pick:
    """What the options of the command choose: by a rule, and one step on where a step is asked for.

    Raises:
        click.UsageError: options do not go together.
        RunError: see `Run.pick`.
    """
    shared: dict[str, Any] = {"device": options["device"], "batchnorm": options["batchnorm"]}
    if options["evaluations"] is not None:
        shared["evaluations"] = options["evaluations"]
    rule, towards, start = _rule(options, run), options["towards"], options["start"]
    chosen = rule is not None or options["where"] or options["maximize"] or options["minimize"]
    if start is not None and (towards is None or chosen):
        raise click.UsageError("--from says where --step begins: give both, without a rule or conditions")
    if start is not None:
        return run.step(numbers(start, "--from"), towards, **shared)
    found = run.pick(options["where"], maximize=options["maximize"], minimize=options["minimize"], rule=rule, **shared)
    return found if towards is None else run.step(found.preference, towards, **shared)


def picked_by_text(run: Run, text: str, note: Callable[[str], None], **shared: Any) -> Pick:
    """The point that a text chooses, as `--pick` has it; `note` is told which it is.

    Args:
        shared: `device` and `batchnorm`, as of `Run.pick`.

    Raises:
        RunError: see `arguments_of_text` and `Run.pick`.
    """
    found = run.pick(**arguments_of_text(text), **shared)
    note(pick_told(found))
    return found


def _rule(options: Mapping[str, Any], run: Run) -> Rule | str | None:
    """The rule that is asked for; None where it is `--maximize`, `--minimize` or none."""
    given: list[Rule | str] = [name for name in ("compromise", "knee", "tradeoff") if options[name]]
    if options["nearest"] is not None:
        given.append(Nearest(_named(options["nearest"], "--nearest")))
    for key, made in (("weights", Weights), ("pseudo_weights", PseudoWeights)):
        if options[key] is not None:
            given.append(made(_by_task(options[key], f"--{key.replace('_', '-')}", run)))
    if len(given) > 1:
        raise click.UsageError("one rule decides: give one of --compromise, --knee, --tradeoff, --nearest, --weights …")
    return given[0] if given else None


def _by_task(text: str, option: str, run: Run) -> dict[str, float]:
    """Weights by task, which may be given in the order of the tasks without names."""
    if "=" in text:
        return _named(text, option)
    tasks, values = run.front("val").tasks, numbers(text, option)
    if len(values) != len(tasks):
        raise click.UsageError(f"{option} needs {len(tasks)} numbers, for {', '.join(tasks)}, but has {len(values)}")
    return dict(zip(tasks, values, strict=True))


def _named(text: str, option: str) -> dict[str, float]:
    found = {}
    for part in text.split(","):
        name, sign, number = part.partition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            sign = ""
        if not sign:
            raise click.UsageError(f"{option} takes NAME=NUMBER with commas in between, but not '{part}'")
    return found


def print_pick(console: Console, run: Path, found: Pick) -> None:
    """A chosen point: λ, losses and metrics on both splits with their intervals, and what to do with it."""
    preference = ", ".join(f"{weight:.4g}" for weight in found.preference)
    console.print(f"λ = ({preference}) for {', '.join(found.tasks)}", soft_wrap=True)
    if found.x is not None:
        console.print(f"x = ({', '.join(f'{value:.6g}' for value in found.x)})", soft_wrap=True)
    console.print(found.rule, soft_wrap=True)
    for condition in found.conditions:
        console.print(f"where {condition}, on the validation split", soft_wrap=True)
    headers = ["validation", "95 % interval", "test", "95 % interval "]
    if found.before is not None:
        headers.insert(0, "change")
    made = table(["", *headers], right=headers)
    for name, value in found.val.items():
        cells = [f"{value - found.before[name]:+.4f}"] if found.before is not None else []
        for split, number in (("val", value), ("test", found.test[name])):
            interval = found.intervals[split].get(name)
            cells += [f"{number:.4f}", "none" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"]
        made.add_row(name, *cells)
    console.print(made)
    lines = [f"{found.evaluations} preferences were evaluated on the validation split to find it"]
    lines += [f"not so on the test split: {miss}" for miss in found.test_misses]
    lines += [f"note: {note}" for note in found.notes]
    lines.append(f"use it: Run({str(run)!r}).model().at([{', '.join(f'{weight:.6g}' for weight in found.preference)}])")
    console.print("\n".join(lines), soft_wrap=True)
