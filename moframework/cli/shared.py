"""What the commands share: exit codes, options, and the line that says which code is imported."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from moframework.errors import nearest

__all__ = [
    "EXIT_CODES",
    "FAILED",
    "INTERRUPTED",
    "WRONG_USAGE",
    "ExistingPath",
    "batchnorm_option",
    "imports_told",
    "noted",
    "numbers",
    "pick_option",
    "preference_option",
    "processes",
    "rank",
    "run_argument",
    "set_option",
    "spec_argument",
    "trust_option",
    "unseen_option",
]

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130

EXIT_CODES = "Exit codes: 0 done; 1 failed run; 2 wrong usage or spec; 130 interrupted."

F = TypeVar("F", bound=Callable[..., object])


def spec_argument(command: F) -> F:
    """SPEC."""
    return click.argument("spec", metavar="SPEC")(command)


def set_option(command: F) -> F:
    """`--set KEY=VALUE`."""
    return click.option(
        "--set",
        "overrides",
        metavar="KEY=VALUE",
        multiple=True,
        help="Replace one value of the spec, as in --set solver.rank=4; the value is YAML. May be repeated.",
    )(command)


def batchnorm_option(command: F) -> F:
    """`--batchnorm`."""
    return click.option(
        "--batchnorm",
        type=click.Choice(["shared", "recalibrate"]),
        help="Statistics of BatchNorm layers, in place of the run's: recalibrate takes them anew for each preference, "
        "from training samples.",
    )(command)


def trust_option(what: str) -> Callable[[F], F]:
    """`--trust`, for the code that `what` names."""
    return click.option(
        "--trust", is_flag=True, help=f"Import the code that {what} names (`python:`); without it, nothing is executed."
    )


def unseen_option(command: F) -> F:
    """`--unseen`."""
    return click.option(
        "--unseen",
        type=click.Choice(["refuse", "missing"]),
        default="refuse",
        show_default=True,
        help="A category of new data that training never saw is an error, or an unknown cell.",
    )(command)


def preference_option(what: str) -> Callable[[F], F]:
    """`--preference`, which is `what`; its value is numbers."""
    return click.option("--preference", metavar="NUMBERS", callback=_numbers, help=f"{what}, such as 0.3,0.7.")


def pick_option(what: str) -> Callable[[F], F]:
    """`--pick`, by which `what` is chosen, as `asked`; see `picked_by_text`."""
    return click.option(
        "--pick",
        "asked",
        metavar="TEXT",
        help=f"{what}, as `moframework pick` does: conditions and a rule with ; between, such as "
        "'left/accuracy >= 0.95; maximize right/accuracy'. Rules: maximize, minimize, compromise, knee, tradeoff.",
    )


def _numbers(_: click.Context, __: click.Parameter, text: str | None) -> list[float] | None:
    return None if text is None else numbers(text, "--preference")


def noted(text: str) -> None:
    """Tell what is worth knowing, beside what a command prints."""
    click.echo(f"note: {text}", err=True)


def run_argument(command: F) -> F:
    """RUN, a folder."""
    return click.argument("run", metavar="RUN", type=click.Path(path_type=Path))(command)


class ExistingPath(click.Path):
    """A file or a folder that is there; one that is not is wrong usage, told with the nearest name beside it."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path. Raises `click.BadParameter`."""
        path = cast(Path, super().convert(value, param, ctx))
        if not path.exists():
            beside = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
            guess = nearest(path.name, beside, alike=0.7)
            hint = f"; did you mean {path.parent / guess}?" if guess else ""
            self.fail(f"there is no file or folder {path}{hint}", param, ctx)
        return path


def numbers(text: str, option: str) -> list[float]:
    """The numbers that an option was given, such as 0.3,0.7.

    Raises:
        click.BadParameter: they are none.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(
            f"'{text}' is not numbers with commas between, such as 0.3,0.7", param_hint=option
        ) from None


@contextlib.contextmanager
def imports_told() -> Iterator[None]:
    """While inside, a line on stderr says which file will be run, or which module imported, for a reference; the first
    of several processes says it."""
    logger, handler = logging.getLogger("moframework.imports"), _Told()
    before = logger.level
    logger.setLevel(logging.INFO)
    if rank("RANK") == 0:
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Told(logging.Handler):
    """Writes what is logged to stderr, as it is."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(record.getMessage(), err=True)


def rank(variable: str) -> int:
    """This process's number among those that torchrun started; 0 where there is one."""
    return int(os.environ.get(variable, "0")) if processes() > 1 else 0


def processes() -> int:
    """How many torchrun started together."""
    return int(os.environ.get("WORLD_SIZE", "1"))
