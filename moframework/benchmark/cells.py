"""Cells: one run for each problem, solver, seed and choice of tuned values; where it lies, and how far it is."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import attrs
from attrs import frozen

from moframework.benchmark.executor import Job
from moframework.benchmark.loading import cell_spec
from moframework.benchmark.spec import Benchmark, part_name, slug
from moframework.config import unstructure
from moframework.errors import RunError
from moframework.io.atomic import write_text
from moframework.io.sealed import read_sealed_yaml, write_sealed_yaml
from moframework.pareto.front import Front
from moframework.run.run import SPEC, STATUS, Run
from moframework.spec import Spec
from moframework.spec.writing import write_yaml

__all__ = ["Cell", "State", "cell", "chosen", "decisive"]

State = Literal["done", "failed", "unfinished", "missing"]


@frozen(kw_only=True)
class Cell:
    """One run of a benchmark.

    It lies in `cells/PROBLEM/SOLVER/seed-SEED-HASH` of the benchmark's folder (names of the parts, not labels), where
    the hash is that of the whole expanded spec but for its loggers, which change no result: a cell whose spec changes
    is another cell, what was computed for the former one stays, and two entries that come to the same spec share one
    run.
    """

    problem: str
    solver: str
    seed: int
    choice: Mapping[str, Any]
    """Tuned values by dotted key; empty where nothing is tuned."""
    spec: Spec
    folder: Path
    text: str
    """The expanded spec, as its run folder holds it."""

    @property
    def name(self) -> str:
        """For people: `digits, palora, seed 0, lr=0.001`."""
        return ", ".join([self.problem, self.solver, f"seed {self.seed}", *chosen(self.choice)])

    @property
    def run(self) -> Run:
        """The run, started or not. Raises `RunError` when it was never prepared."""
        return Run(self.folder)

    def front(self, split: str) -> Front:
        """The evaluated front, `test` or `val`. Single-task networks count as the one point that they make together:
        what each of them does with the other tasks means nothing.

        Raises:
            RunError: not evaluated yet.
        """
        found = self.run.front(split)
        return found.of_vertices() if type(self.spec.solver).single_task else found

    @property
    def state(self) -> State:
        """How far it is, as its folder tells; `missing` also when it is prepared but was never started, `unfinished`
        also when a result is damaged: running it makes that anew; or when a newer version wrote it: running it is
        refused."""
        if self._failure.is_file():
            return "failed"
        if not (self.folder / SPEC).is_file() or not (self.folder / STATUS).is_file():
            return "missing"
        try:
            same = decisive(read_sealed_yaml(self.folder / SPEC, advice="")) == decisive(self.text)
            done = same and self.run.status == "done" and not self.run.damaged()
        except RunError:  # running it writes a damaged spec anew, and tells the rest
            done = False
        return "done" if done else "unfinished"

    @property
    def message(self) -> str | None:
        """Why it failed, in its last attempt."""
        return self._failure.read_text(encoding="utf-8") if self.state == "failed" else None

    def prepare(self, *, trust: bool = False) -> Job:
        """Write the spec into the run folder, forget an earlier failure, and return the job that starts or resumes it.

        The job names the spec, whose code is the benchmark's own, and not the folder, so that it needs no `--trust` for
        that. With `trust` it also imports what the run that `solver.initial` names, names.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        write_sealed_yaml(self.folder / SPEC, self.text)
        self._failure.unlink(missing_ok=True)
        folder = self.folder.absolute()
        command = (
            *(sys.executable, "-m", "moframework", "solve", str(folder / SPEC), "--out", str(folder)),
            *("--resume", "--quiet", *(("--trust",) if trust else ())),
        )
        return Job(
            name=self.name, command=command, folder=folder, log=folder.with_name(f"{folder.name}.log"),
            data=write_yaml(unstructure(self.spec.problem)),
        )  # fmt: skip

    def fail(self, message: str) -> None:
        """Record why it failed, until it is started again."""
        write_text(self._failure, message)

    def note_seconds(self, seconds: float) -> None:
        """Record what it took by the clock, start of its process included, for estimates of others."""
        write_text(self.took_file(self.folder), f"{seconds:.3f}\n")

    @staticmethod
    def took_file(folder: Path) -> Path:
        """Where that stands."""
        return folder.with_name(f"{folder.name}.seconds.txt")

    @property
    def _failure(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.failed.txt")


def cell(
    benchmark: Benchmark, folder: Path, problem: int, solver: int, seed: int, choice: Mapping[str, Any] | None = None
) -> Cell:
    """A cell of a benchmark that lies in `folder`. Arguments as of `cell_spec`."""
    spec = cell_spec(benchmark, problem, solver, seed, choice)
    nameless = cast(Spec, attrs.evolve(cast(Any, spec), name=None)).to_yaml()
    key = hashlib.sha256(decisive(nameless).encode()).hexdigest()[:10]
    names = part_name(spec.problem), part_name(spec.solver)
    place = folder / "cells" / slug(names[0]) / slug(names[1]) / f"seed-{seed}-{key}"
    return Cell(
        problem=benchmark.problems[problem].title,
        solver=benchmark.solvers[solver].title,
        seed=seed,
        choice=dict(choice or {}),
        spec=spec,
        folder=place,
        text=spec.to_yaml(),
    )


def chosen(choice: Mapping[str, Any]) -> list[str]:
    """Tuned values for people, each by the last part of its key: `lr=0.001`."""
    return [f"{key.rpartition('.')[2]}={_shown(value)}" for key, value in choice.items()]


def decisive(text: str) -> str:
    """An expanded spec, as it is written, without what changes no result: the loggers, constraints where there are
    none, and that adapters start as they always did. Earlier versions had no such keys."""
    adapters = r"^  adapter_init: lora\n  adapter_init_std: .*\n"
    return re.sub(rf"^log:.*\n(?:[ -].*\n)*|^constraints: \{{\}}\n|{adapters}", "", text, flags=re.MULTILINE)


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
