"""Two checkouts measured against each other in one run: the same cases in both, in turn.

Turns are short, and a round is four of them, new, old, old, new (the next one the other way round), so that whatever
else the machine does meets both sides alike, even while it grows. Told is the median over rounds of the ratio within a
round, and its quartiles. `worker` takes the turns; here both checkouts are made ready, and lines of a report.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from attrs import frozen

from tests.speed.report import Line
from tests.speed.version_cases import VersionCase

__all__ = ["HERE", "Bench", "BenchError", "Turns", "bench", "compare", "compare_memory", "revision"]

HERE = Path(__file__).parents[2]
"""The checkout that this file is part of."""

Side = Literal["new", "old"]
_SIDES: tuple[Side, Side] = ("new", "old")

# What of a checkout its package is not made from.
_LEFT_OUT = (".*", "__pycache__", "*.egg-info", "build", "dist", "runs", "tests")


class BenchError(Exception):
    """A checkout cannot be installed, or a case cannot be measured."""


@frozen(kw_only=True)
class Turns:
    """How long and how often both sides take their turns."""

    rounds: int
    seconds: float
    """Least length of a turn."""
    clock: Literal["wall", "processor"]


@frozen(kw_only=True)
class Bench:
    """Where both sides are installed, and what runs them."""

    python: str
    harness: Path
    """The folder that `tests.speed` is imported from."""
    sites: Mapping[Side, Path]
    """Where `moframework` is imported from."""
    threads: int


@contextlib.contextmanager
def bench(against: Path, python: str | None, threads: int, here: Path = HERE) -> Iterator[Bench]:
    """Two checkouts, installed into folders that are gone afterwards; neither checkout is written to.

    Args:
        against: the old one.
        python: one that has the packages which both need; None: this one.
        threads: of torch on the host.
        here: the new one.

    Raises:
        BenchError: one of them is no checkout, or cannot be installed.
    """
    with tempfile.TemporaryDirectory(prefix="moframework-speed-") as name:
        folder = Path(name)
        harness = folder / "harness"
        shutil.copytree(HERE / "tests" / "speed", harness / "tests" / "speed", ignore=shutil.ignore_patterns("*.pyc"))
        (harness / "tests" / "__init__.py").touch()
        sites = {side: _installed(path, folder / side) for side, path in zip(_SIDES, (here, against), strict=True)}
        yield Bench(python=python or sys.executable, harness=harness, sites=sites, threads=threads)


def _installed(checkout: Path, folder: Path) -> Path:
    """A folder that has the package of a checkout in it, as if installed."""
    if not (checkout / "pyproject.toml").is_file():
        raise BenchError(f"{checkout} is no checkout: it has no pyproject.toml")
    source, target = folder / "source", folder / "site"
    shutil.copytree(checkout, source, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--target", str(target)]
    command = [sys.executable, "-m", "pip", "install", *options, str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"{checkout} cannot be installed:\n{done.stdout}{done.stderr}")
    return target


class _Process:
    """A running worker, in an empty folder of its own."""

    def __init__(self, on: Bench) -> None:
        self._folder = tempfile.TemporaryDirectory()
        environment = {"PYTHONPATH": str(on.harness), "OMP_NUM_THREADS": str(on.threads)}
        self._process = subprocess.Popen(
            [on.python, "-m", "tests.speed.worker", *(str(on.sites[side]) for side in _SIDES)], text=True,
            cwd=self._folder.name, env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.found = self._read()

    def ask(self, **command: Any) -> dict[str, Any]:
        """The answer to a command. Raises `BenchError` where something went wrong."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"the worker ended with status {self._process.wait()}; what it said is above")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchError(answer["error"])
        return answer


def compare(cases: Sequence[VersionCase], on: Bench, turns: Turns, tell: Callable[[str], None]) -> Iterator[Line]:
    """Measure each case in both versions.

    Args:
        tell: is told what is measured, and which cases one of the sides cannot run, in words.

    Yields:
        a line for each case; its amount is the seconds of one repetition in the new version.
    """
    with _Process(on) as worker:
        for case in cases:
            tell(f"{case.name} …")
            try:
                taken = worker.ask(case=case.name, rounds=turns.rounds, seconds=turns.seconds, clock=turns.clock)
            except BenchError as error:
                tell(f"{case.name} is left out: {error}")
                continue
            yield _line(case.name, "seconds", taken, case.limit)


def compare_memory(
    cases: Sequence[VersionCase], on: Bench, tell: Callable[[str], None], processes: int = 3
) -> Iterator[Line]:
    """Peak memory of each case that trains. Arguments and result as of `compare`.

    Args:
        processes: fresh ones for each side, at least 2: peaks differ by some hundredths from one to the next.
    """
    for case in cases:
        if not case.trains:
            continue
        tell(f"{case.name}, memory …")
        taken: dict[Side, list[float]] = {side: [] for side in _SIDES}
        try:
            for _ in range(processes):
                for side in _SIDES:
                    with _Process(on) as worker:
                        taken[side].append(worker.ask(case=case.name, peak=side, count=3)["bytes"])
        except BenchError as error:
            tell(f"{case.name} is left out: {error}")
            continue
        yield _line(case.name, "bytes", taken, None)


def _line(name: str, unit: str, taken: Mapping[Any, Sequence[float]], limit: float | None) -> Line:
    ratios = [new / old for new, old in zip(taken["new"], taken["old"], strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    kind, _, contender = name.partition("/")
    before = statistics.median(taken["old"])
    return Line(
        case=kind if unit == "seconds" else f"memory, {kind}", contender=contender,
        against=f"{before / 2**20:,.0f} MiB" if unit == "bytes" else f"{before * 1e3:,.3g} ms",
        amount=statistics.median(taken["new"]), unit=unit, ratio=statistics.median(ratios), low=low, high=high,
        limit=limit,
    )  # fmt: skip


def revision(checkout: Path) -> str:
    """Commit of a checkout, with `+` where files have changed since; empty where git does not know it."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(checkout), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""
